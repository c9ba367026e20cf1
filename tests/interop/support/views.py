"""The views of Go's asynq, field by field; the Go side is in `go/`.

Times are Unix seconds, durations seconds; None is Go's zero time.
"""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec


class GoTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.TaskInfo."""

    id: str
    queue: str
    type: str
    payload: bytes | None
    headers: dict[str, str] | None
    state: str
    max_retry: int
    retried: int
    last_err: str
    last_failed_at: float | None
    timeout: float
    deadline: float | None
    group: str
    next_process_at: float | None
    is_orphaned: bool
    retention: float
    completed_at: float | None
    result: bytes | None


class GoQueue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.QueueInfo."""

    queue: str
    memory_usage: int
    latency: float
    size: int
    groups: int
    pending: int
    active: int
    scheduled: int
    retry: int
    archived: int
    completed: int
    aggregating: int
    processed: int
    failed: int
    processed_total: int
    failed_total: int
    paused: bool
    timestamp: float


class GoDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.DailyStats."""

    queue: str
    processed: int
    failed: int
    day: str


class GoGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.GroupInfo."""

    group: str
    size: int


class GoWorkerInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.WorkerInfo."""

    task_id: str
    task_type: str
    task_payload: bytes | None
    queue: str
    started: float
    deadline: float


class GoServerInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.ServerInfo."""

    id: str
    host: str
    pid: int
    concurrency: int
    queues: dict[str, int]
    strict: bool
    started: float
    status: str
    active_workers: list[GoWorkerInfo]


class GoEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.SchedulerEntry, with options in Go's format."""

    id: str
    spec: str
    type: str
    payload: bytes | None
    options: list[str]
    next: float | None
    prev: float | None


class GoEnqueueEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """asynq.SchedulerEnqueueEvent."""

    task_id: str
    enqueued_at: float


class GoSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of a task that a Go handler sees."""

    id: str
    type: str
    payload: bytes | None
    headers: dict[str, str] | None
    queue: str
    retried: int
    max_retry: int
    deadline: float | None


class GoMember(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of a member that a Go aggregator sees."""

    type: str
    payload: bytes | None
    headers: dict[str, str] | None


class GoProblem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An error: a name for comparison and Go's text."""

    kind: str
    text: str


class Event(msgspec.Struct, frozen=True):
    """An event of a peer, with the fields of all kinds of events."""

    event: str
    task: dict[str, Any] | None = None
    tasks: list[GoMember] | None = None
    error: str | GoProblem | None = None
    group: str = ""
    is_panic: bool = False
    pid: int = 0

    @property
    def seen(self) -> GoSeen:
        """The task of an event of a server."""
        return msgspec.convert(self.task, GoSeen)

    @property
    def enqueued(self) -> GoTask:
        """The task of an event of a scheduler."""
        return msgspec.convert(self.task, GoTask)


class GoOptions(TypedDict, total=False):
    """The options of a task. Missing options are not passed to asynq."""

    headers: dict[str, str]
    queue: str
    max_retry: int
    timeout: float
    deadline: float
    process_at: float
    process_in: float
    unique: float
    retention: float
    task_id: str
    group: str


class GoServerOptions(TypedDict, total=False):
    """The settings of a server. Defaults are those of asynq; without `aggregate` there is no aggregator."""

    concurrency: int
    queues: dict[str, int]
    strict: bool
    shutdown_timeout: float
    delayed_interval: float
    check_interval: float
    janitor_interval: float
    retry_delay: float
    aggregate: bool
    aggregate_type: str
    group_grace: float
    group_max_delay: float
    group_max_size: int
