"""What is stored of a task, the states it can be in, and what one sees when looking at it.

Field by field this is Go asynq's `TaskMessage` (spec: redis wire format, section 2.1); `crashes`, `deferrals` and
`unique_until` are ours and live outside the shared message on Redis. Times are seconds since the epoch
and durations seconds, 0 meaning "none".
"""

from __future__ import annotations

import enum
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from asynqio.core.task import payload as payloads
from asynqio.core.task.unique import UniqueUntil


class TaskState(enum.StrEnum):
    """Where a task is. The values are the strings Go asynq stores (section 1.4)."""

    PENDING = "pending"
    ACTIVE = "active"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    ARCHIVED = "archived"
    COMPLETED = "completed"
    AGGREGATING = "aggregating"


class TaskRef(NamedTuple):
    """The name of one task: ids are unique within their queue only."""

    queue: str
    id: str


class TaskMessage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A task as the broker keeps it, from enqueue to its end."""

    id: str
    type: str
    queue: str = "default"
    payload: bytes | None = None
    max_retry: int = 25
    retried: int = 0
    last_error: str = ""
    last_failed_at: float = 0.0
    timeout: float = 0.0
    deadline: float = 0.0
    unique_key: str = ""
    group: str = ""
    retention: float = 0.0
    completed_at: float = 0.0
    headers: dict[str, str] = {}
    #: How many workers died in a row while they ran this task.
    crashes: int = 0
    #: How often in a row it was put off without counting as a retry.
    deferrals: int = 0
    #: What frees its lock before the time of that is over.
    unique_until: UniqueUntil = UniqueUntil.FINISHED

    @property
    def ref(self) -> TaskRef:
        return TaskRef(self.queue, self.id)

    def load(self, as_type: Any = Any) -> Any:
        """The JSON payload, checked against `as_type`. Raises BadPayload."""
        return payloads.decode(self.type, self.payload, as_type)


class TaskInfo(TaskMessage, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """A snapshot of one task: its message and what the broker knows beside it."""

    state: TaskState
    #: When it will be looked at next: due time of SCHEDULED and RETRY tasks, now for PENDING ones, else 0.
    next_process_at: float = 0.0
    #: Since when it waits in PENDING, else 0.
    pending_since: float = 0.0
    #: ACTIVE, but nobody holds a valid lease: its worker is gone and recovery is due.
    is_orphaned: bool = False
    #: ACTIVE: when its lease lapses unless it is renewed, else 0.
    lease_expires_at: float = 0.0
    #: What the handler returned or wrote, if it is kept.
    result: bytes | None = None
    #: The last `report_progress(...)`, as JSON.
    progress: bytes | None = None

    @property
    def is_final(self) -> bool:
        """Nothing will happen to this task by itself any more."""
        return self.state in (TaskState.COMPLETED, TaskState.ARCHIVED)

    @classmethod
    def of(cls, message: TaskMessage, state: TaskState, **facts: Any) -> TaskInfo:
        """The snapshot of `message` in `state`."""
        return cls(*_fields_of(message), state=state, **facts)


_fields_of = attrgetter(*TaskMessage.__struct_fields__)
