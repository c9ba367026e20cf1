"""How an attempt ended, in one word: for figures and for those who follow what happens."""

from __future__ import annotations

import enum

from asynqio.core.lifecycle import Aborted, Deferred, Failed, Outcome, Settlement
from asynqio.core.task.message import TaskState


class Ending(enum.StrEnum):
    """What became of an attempt; exactly one for each."""

    SUCCEEDED = "succeeded"
    #: It failed, and the task will be tried again.
    RETRIED = "retried"
    #: It failed for good.
    ARCHIVED = "archived"
    #: The handler gave the task up (`RevokeTask`).
    REVOKED = "revoked"
    #: Put off without counting: `RetryIn`, no handler here, an error that is no failure.
    DEFERRED = "deferred"
    #: The server stopped first; the task is pending again.
    ABORTED = "aborted"
    #: It ended after its lease was lost: somebody else has the task, and this end was not recorded.
    REFUSED = "refused"
    #: The broker could not take the end: the task will run again when its lease has lapsed.
    UNRECORDED = "unrecorded"


def ending_of(outcome: Outcome, settlement: Settlement) -> Ending:
    """What `decide` made of `outcome`, if the broker takes it."""
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
