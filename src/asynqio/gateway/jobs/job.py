"""A job, as the API shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.gateway.jobs.request import REQUEST_HEADER

_STATUSES = {
    TaskState.ACTIVE: "processing",
    TaskState.COMPLETED: "completed",
    TaskState.ARCHIVED: "failed",
}
#: The statuses after which nothing happens by itself.
FINAL = frozenset({"completed", "failed"})
_LONGEST_ERROR = 4_096


class Job(msgspec.Struct, omit_defaults=True):
    """A job. Times are RFC 3339 in UTC; those that do not apply are left out."""

    id: str
    queue: str
    type: str
    payload: msgspec.Raw
    max_retries: int
    #: pending, processing, completed or failed.
    status: str
    #: The state of its task: pending, scheduled, retry, aggregating, active, completed or archived.
    state: str
    priority: str
    idempotency_key: str
    #: The server that runs it; empty if none does.
    locked_by: str
    #: Attempts started so far.
    attempts: int
    timeout_seconds: float
    retention_seconds: float
    headers: dict[str, str]
    last_error: str
    run_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    locked_at: str | None = None
    lease_expires_at: str | None = None
    finished_at: str | None = None
    deadline: str | None = None


def job_of(info: TaskInfo, attempts: list[AttemptRecord], key: str = "") -> Job:
    """The job of a task. Payloads that are not JSON are shown as null."""
    running = attempts[-1] if attempts and attempts[-1].outcome is AttemptOutcome.RUNNING else None
    status = _STATUSES.get(info.state, "pending")
    finished = info.completed_at or (info.last_failed_at if status == "failed" else 0.0)
    created = _created(info.id)
    last = max([created, info.last_failed_at, info.completed_at, *(one.started_at for one in attempts)])
    return Job(
        id=info.id,
        queue=info.queue,
        type=info.type,
        payload=json_of(info.payload),
        max_retries=info.max_retry,
        status=status,
        state=info.state.value,
        priority="normal",
        idempotency_key=key,
        locked_by=running.worker if running is not None else "",
        attempts=len(attempts),
        timeout_seconds=info.timeout,
        retention_seconds=info.retention,
        headers={name: value for name, value in info.headers.items() if name != REQUEST_HEADER},
        last_error=info.last_error[:_LONGEST_ERROR],
        run_at=_time(info.next_process_at),
        created_at=_time(created),
        updated_at=_time(last),
        locked_at=_time(running.started_at) if running is not None else None,
        lease_expires_at=_time(info.lease_expires_at),
        finished_at=_time(finished),
        deadline=_time(info.deadline),
    )


def json_of(data: bytes | None) -> msgspec.Raw:
    """Stored bytes as a part of a JSON document; null if they are not JSON."""
    if not data:
        return msgspec.Raw(b"null")
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.Raw(b"null")
    return msgspec.Raw(data)


def _created(id: str) -> float:
    """The time in an id that is a UUID of version 7, in epoch seconds; else 0."""
    digits = id.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":
        return 0.0
    try:
        return int(digits[:12], 16) / 1000
    except ValueError:
        return 0.0


def _time(moment: float) -> str | None:
    if not moment:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
