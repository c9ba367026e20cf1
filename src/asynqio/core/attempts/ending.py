"""How an attempt ended, as a single value for metrics and events."""

from __future__ import annotations

import enum

from asynqio.core.lifecycle import Aborted, Deferred, Failed, Outcome, Settlement
from asynqio.core.task.message import TaskState


class Ending(enum.StrEnum):
    """How an attempt ended. Each attempt has exactly one ending."""

    SUCCEEDED = "succeeded"
    #: It failed; the task will be retried.
    RETRIED = "retried"
    #: It failed finally; the task is archived.
    ARCHIVED = "archived"
    #: The handler raised `RevokeTask`; the task is deleted.
    REVOKED = "revoked"
    #: Deferred, uncounted: `RetryIn`, no handler here, or an error that `is_failure` rejects.
    DEFERRED = "deferred"
    #: The server stopped before the handler returned; the task is pending again.
    ABORTED = "aborted"
    #: It ended after its lease was lost: another server has the task; this result was discarded.
    REFUSED = "refused"
    #: The broker could not be reached: the task will run again when its lease has expired.
    UNRECORDED = "unrecorded"


def ending_of(outcome: Outcome, settlement: Settlement) -> Ending:
    """The ending for `outcome` and the settlement that `decide` made of it, if the broker accepts it."""
    match outcome:
        case Aborted():
            return Ending.ABORTED
        case Deferred():
            return Ending.DEFERRED
        case Failed():
            if settlement.to is None:
                return Ending.REVOKED
            if settlement.to is TaskState.ARCHIVED:
                return Ending.ARCHIVED
            return Ending.RETRIED if settlement.failed else Ending.DEFERRED
        case _:
            return Ending.SUCCEEDED
