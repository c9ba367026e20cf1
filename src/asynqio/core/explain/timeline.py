"""What happened to a task so far, in sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.explain.humanize import ago, first_line, moment, span
from asynqio.core.schedules.firing import SCHEDULE_HEADER, TICK_HEADER
from asynqio.core.task.message import TaskInfo

#: A UUID of version 7, as our producers make them, begins with the time in milliseconds.
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Seconds by which the clock of a producer may be ahead of ours, and how old a task may be, to be believed.
AHEAD, OLDEST = 86_400.0, 10 * 365 * 86_400.0

_ENDED = {
    AttemptOutcome.SUCCEEDED: "succeeded",
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.DEFERRED: "put it off, uncounted,",
    AttemptOutcome.ABORTED: "was handed back by its server, which stopped,",
    AttemptOutcome.LOST: "was lost with its server",
}


def story(info: TaskInfo, attempts: Sequence[AttemptRecord], now: float) -> list[str]:
    """Where it comes from, when it was made, and each attempt that ended."""
    ended = [run for run in attempts if run.outcome is not AttemptOutcome.RUNNING]
    told = _schedule(info, now)
    if (made := _made_at(info.id, now)) is not None:
        told.append(f"It was enqueued {ago(made, now)}.")
    if ended and ended[0].number > 1:
        told.append(f"The first {ended[0].number - 1} recorded attempts are not kept any more.")
    told += [_attempt(run, now) for run in ended]
    counted = sum(run.outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST) for run in ended)
    if ended and ended[0].number > 1:
        return told
    if info.retried > counted:
        told.append(
            f"{info.retried - counted} failed without leaving a record, as attempts by Go's servers do."
        )
    known = ended[-1].error if ended else ""
    if info.last_error and info.last_failed_at and not (known and known in info.last_error):
        told.append(f"The last error, {ago(info.last_failed_at, now)}: {first_line(info.last_error)}")
    return told


def _schedule(info: TaskInfo, now: float) -> list[str]:
    headers = info.headers or {}
    if (id := headers.get(SCHEDULE_HEADER)) is None:
        return []
    tick = headers.get(TICK_HEADER, "")
    if not (tick.isdecimal() and tick.isascii()):
        return [f"It comes from schedule {id!r}, which somebody triggered."]
    return [f"It comes from schedule {id!r}, for its tick at {moment(float(tick), now)}."]


def _attempt(run: AttemptRecord, now: float) -> str:
    by = f" on {run.worker}" if run.worker else ""
    took = f" after {span(run.duration)}" if run.duration else ""
    error = f": {first_line(run.error)}" if run.error else "."
    return f"Attempt {run.number}{by} {_ENDED[run.outcome]}{took} at {moment(run.ended_at, now)}{error}"


def _made_at(id: str, now: float) -> float | None:
    found = _UUID7.fullmatch(id)
    if found is None:
        return None
    at = int(found[1] + found[2], 16) / 1_000
    return at if now - OLDEST < at < now + AHEAD else None
