"""The end of a task whose outcome can never be stored."""

from __future__ import annotations

import msgspec

from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.lifecycle import Failed, Policy, Settlement, decide, error_text
from asynqio.errors import CannotStore, SkipRetry


class WithoutOutcome(Settlement, frozen=True, gc=False):
    """A settlement that `without_outcome` made: there is nothing left to omit."""


def without_outcome(settlement: Settlement, error: Exception, now: float) -> WithoutOutcome:
    """Return the settlement that archives the task with the reason why its outcome cannot be stored.

    It stores no result, log or progress: one of them may be what the store rejects. The error of the attempt is kept.
    """
    reason = f"the outcome of this attempt cannot be stored ({error_text(error)})"
    if settlement.message.last_error != settlement.lease.message.last_error:
        reason = f"{settlement.message.last_error}; {reason}"
    lost = CannotStore(reason)
    lost.__cause__ = SkipRetry()
    ended = decide(settlement.lease, Failed(lost), now, Policy())
    ended = msgspec.structs.replace(
        ended, message=msgspec.structs.replace(ended.message, crashes=settlement.message.crashes)
    )
    live = settlement.record or AttemptRecord()
    live = AttemptRecord(worker=live.worker, started_at=live.started_at)
    return WithoutOutcome(*msgspec.structs.astuple(with_record(ended, Failed(lost), live, now)))
