"""What is put down of an attempt that has ended. Pure, as `decide` is, and asked right after it."""

from __future__ import annotations

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, clean, tail
from asynqio.core.lifecycle import Aborted, Failed, Outcome, Settlement, Succeeded, error_text
from asynqio.errors import HandlerNotFound, LeaseExpired


def with_record(
    settlement: Settlement, outcome: Outcome, so_far: AttemptRecord, now: float, traceback: str = ""
) -> Settlement:
    """The settlement with the record of its attempt; as it is when there is nothing to record.

    `so_far` is what is known of the attempt while it runs. Nothing is recorded of a task that is gone, and of
    attempts in which no handler ran and nothing was counted (`Deferred`, a type without a handler that is put
    off): they would push out what is worth knowing.
    """
    if settlement.to is None or (how := _how(settlement, outcome)) is None:
        return settlement
    record = msgspec.structs.replace(
        so_far,
        number=0,
        ended_at=now,
        outcome=how,
        then=settlement.to,
        error=clean(error_text(outcome.error)) if isinstance(outcome, Failed) else "",
        traceback=tail(traceback),
    )
    return msgspec.structs.replace(settlement, record=record)


def _how(settlement: Settlement, outcome: Outcome) -> AttemptOutcome | None:
    match outcome:
        case Succeeded():
            return AttemptOutcome.SUCCEEDED
        case Aborted():
            return AttemptOutcome.ABORTED
        case Failed(LeaseExpired()):
            return AttemptOutcome.LOST
        case Failed() if settlement.failed:
            return AttemptOutcome.FAILED
        case Failed(HandlerNotFound()):
            return None
        case Failed():
            return AttemptOutcome.DEFERRED
    return None
