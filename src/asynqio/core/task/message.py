"""The message of a task, its states, and the snapshot that inspection returns.

The fields are those of Go asynq's `TaskMessage`; `crashes`, `deferrals` and `unique_until` are only asynqio's, and
on Redis they are stored beside the shared message (docs/reference/redis-layout.md). Times are seconds since the
epoch, durations seconds; 0 means "none".
"""

from __future__ import annotations

import enum
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from asynqio.core.task import payload as payloads
from asynqio.core.task.unique import UniqueUntil


class TaskState(enum.StrEnum):
    """The state of a task. The values are the strings that Go asynq stores."""

    PENDING = "pending"
    ACTIVE = "active"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    ARCHIVED = "archived"
    COMPLETED = "completed"
    AGGREGATING = "aggregating"


class TaskRef(NamedTuple):
    """Queue and id of a task: ids are unique within their queue."""

    queue: str
    id: str


class TaskMessage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A task as the broker stores it."""

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
    #: Workers that died in a row while they ran this task.
    crashes: int = 0
    #: Deferrals in a row: attempts that were not counted as retries.
    deferrals: int = 0
    #: What frees its uniqueness lock before the lock expires.
    unique_until: UniqueUntil = UniqueUntil.FINISHED

    @property
    def ref(self) -> TaskRef:
        """Queue and id."""
        return TaskRef(self.queue, self.id)

    def load(self, as_type: Any = Any) -> Any:
        """Decode the JSON payload and check it against `as_type`. Raises BadPayload."""
        return payloads.decode(self.type, self.payload, as_type)


class TaskInfo(TaskMessage, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """A snapshot of one task: its message, its state and what else the broker knows."""

    state: TaskState
    #: When it is due: SCHEDULED and RETRY tasks; now for PENDING ones, else 0.
    next_process_at: float = 0.0
    #: PENDING: since when, else 0.
    pending_since: float = 0.0
    #: ACTIVE without a valid lease: its server is gone and recovery is due.
    is_orphaned: bool = False
    #: ACTIVE: when its lease expires unless it is renewed, else 0.
    lease_expires_at: float = 0.0
    #: What the handler returned or wrote, if it is stored.
    result: bytes | None = None
    #: The last `report_progress(...)`, as JSON.
    progress: bytes | None = None

    @property
    def is_final(self) -> bool:
        """Whether it is COMPLETED or ARCHIVED: nothing happens to it without an operator."""
        return self.state in (TaskState.COMPLETED, TaskState.ARCHIVED)

    @classmethod
    def of(
        cls, message: TaskMessage, state: TaskState, next_process_at: float = 0.0, **facts: Any
    ) -> TaskInfo:
        """The snapshot of `message` in `state`."""
        return cls(*_fields_of(message), state=state, next_process_at=next_process_at, **facts)


_fields_of = attrgetter(*TaskMessage.__struct_fields__)
