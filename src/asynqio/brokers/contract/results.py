"""Values that brokers take and return besides tasks: one small type per answer."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskRef

#: The type of a task whose stored bytes cannot be decoded; its payload is those bytes.
CORRUPT_TYPE = "asynqio:corrupt"

#: Called during a long operation with the number of items done so far.
Progress: TypeAlias = Callable[[int], None]


class Admission(enum.Enum):
    """The outcome of enqueueing one entry."""

    ACCEPTED = enum.auto()
    #: Another task holds its uniqueness lock.
    DUPLICATE = enum.auto()
    #: The queue has a task with its id.
    ID_CONFLICT = enum.auto()


class Fired(NamedTuple):
    """The outcome of one tick. Without an admission it was taken before, or (`paused`) the schedule is paused."""

    admission: Admission | Replaced | None
    paused: bool = False


class Replaced(NamedTuple):
    """The entry did not become a new task: the waiting task with this id, which held its lock, was changed."""

    id: str


class Forwarded(NamedTuple):
    """`moved` tasks became pending; the next one is due at `next_at` (None: no task is delayed). If as many were
    moved as allowed, call again: not all queues were looked at."""

    moved: int
    next_at: float | None


class Expired(NamedTuple):
    """Expired leases, and when the next lease expires unless it is renewed (None: no other task is active)."""

    leases: list[Lease]
    next_at: float | None


class Claimed(NamedTuple):
    """Batches claimed for aggregation, and when the next group becomes ripe unless a member joins it."""

    batches: list[GroupBatch]
    next_at: float | None


class Swept(NamedTuple):
    """The number of deleted tasks, and when the next sweep has something to do (None: no such time is known)."""

    deleted: int
    next_at: float | None


class Output(msgspec.Struct, frozen=True):
    """Output of a running handler: a result, progress (JSON), the live record of the attempt with its log lines, or
    several of them."""

    lease: Lease
    result: bytes | None = None
    progress: bytes | None = None
    live: AttemptRecord | None = None


class Moved(enum.Enum):
    """The outcome of an operator action on one task. Only `transfer` returns the last two."""

    DONE = enum.auto()
    NOT_FOUND = enum.auto()
    WRONG_STATE = enum.auto()
    #: Its uniqueness lock is held in the target queue.
    DUPLICATE = enum.auto()
    #: The target queue has a task with its id.
    ID_CONFLICT = enum.auto()


class Cancellation(NamedTuple):
    """A request to cancel a running task; `archive`: archive it instead of retrying it."""

    ref: TaskRef
    archive: bool = False
