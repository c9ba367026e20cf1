"""The history of a task in sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.explain.humanize import ago, first_line, many, moment, span
from asynqio.core.schedules.firing import SCHEDULE_HEADER, TICK_HEADER
from asynqio.core.task.message import TaskInfo

#: A UUID of version 7, the format of generated ids, starts with the time in milliseconds.
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: The time in an id is plausible up to this many seconds in the future and in the past.
AHEAD, OLDEST = 86_400.0, 10 * 365 * 86_400.0

_ENDED = {
    AttemptOutcome.SUCCEEDED: "succeeded",
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.DEFERRED: "deferred the task",
    AttemptOutcome.ABORTED: "was aborted because its server stopped",
    AttemptOutcome.LOST: "was lost with its server",
}


def timeline(info: TaskInfo, attempts: Sequence[AttemptRecord], now: float) -> list[str]:
    """The origin of the task, when it was enqueued, and each attempt that ended."""
    ended = [run for run in attempts if run.outcome is not AttemptOutcome.RUNNING]
    history = _schedule(info, now)
    if (enqueued_at := _enqueued_at(info.id, now)) is not None:
        history.append(f"It was enqueued {ago(enqueued_at, now)}.")
    if ended and ended[0].number > 1:
        history.append(f"The records of the first {ended[0].number - 1} attempts were dropped.")
    history += [_attempt(run, now) for run in ended]
    counted = sum(run.outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST) for run in ended)
    if ended and ended[0].number > 1:
        return history
    if info.retried > counted:
        history.append(
            f"{many(info.retried - counted, 'failed attempt')} left no record: servers of Go record none."
        )
    known = ended[-1].error if ended else ""
    if info.last_error and info.last_failed_at and not (known and known in info.last_error):
        history.append(f"Last error, {ago(info.last_failed_at, now)}: {first_line(info.last_error)}")
    return history


def _schedule(info: TaskInfo, now: float) -> list[str]:
    headers = info.headers or {}
    if (id := headers.get(SCHEDULE_HEADER)) is None:
        return []
    tick = headers.get(TICK_HEADER, "")
    if not (tick.isdecimal() and tick.isascii()):
        return [f"Schedule {id!r} enqueued it when it was triggered manually."]
    return [f"Schedule {id!r} enqueued it for its tick at {moment(float(tick), now)}."]


def _attempt(run: AttemptRecord, now: float) -> str:
    by = f" on {run.worker}" if run.worker else ""
    took = f" after {span(run.duration)}" if run.duration else ""
    error = f": {first_line(run.error)}" if run.error else "."
    return f"Attempt {run.number}{by} {_ENDED[run.outcome]}{took} at {moment(run.ended_at, now)}{error}"


def _enqueued_at(id: str, now: float) -> float | None:
    found = _UUID7.fullmatch(id)
    if found is None:
        return None
    at = int(found[1] + found[2], 16) / 1_000
    return at if now - OLDEST < at < now + AHEAD else None
