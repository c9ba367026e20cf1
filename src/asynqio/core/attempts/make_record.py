"""Makes the record of an attempt that has ended. Pure, as `decide`, and called right after it."""

from __future__ import annotations

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, clean
from asynqio.core.attempts.shorten import TRACEBACK_LIMIT, shorten
from asynqio.core.lifecycle import Aborted, Failed, Outcome, Settlement, Succeeded, error_text
from asynqio.errors import HandlerNotFound, LeaseExpired


def with_record(
    settlement: Settlement,
    outcome: Outcome,
    live: AttemptRecord,
    now: float,
    traceback: str = "",
    limit: int = TRACEBACK_LIMIT,
) -> Settlement:
    """Return the settlement with the record of its attempt, or unchanged if the attempt leaves no record.

    `live` is the record of the attempt while it ran; `now` is in epoch seconds; the error and the traceback may take
    `limit` bytes. A deleted task has no record, nor
    has an uncounted attempt in which no handler ran (`Deferred`, a deferred unknown type): its record would displace
    a useful one.
    """
    if settlement.to is None or (how := _how(settlement, outcome)) is None:
        return settlement
    error = error_text(outcome.error) if isinstance(outcome, Failed) else ""
    if traceback or len(error) > limit // 4:
        error, traceback = shorten(error, clean(traceback), limit)
    record = msgspec.structs.replace(
        live,
        number=0,
        ended_at=now,
        outcome=how,
        then=settlement.to,
        error=error,
        traceback=traceback,
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
