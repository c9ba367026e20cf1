"""The values that brokers return and take besides tasks: one small type per answer."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskRef

#: The type under which an undecodable task is shown; its payload are the bytes found.
CORRUPT_TYPE = "asynqio:corrupt"

#: Told how far a long call is: how many of what it is about are done.
Progress: TypeAlias = Callable[[int], None]


class Admission(enum.Enum):
    """What became of one entry."""

    ACCEPTED = enum.auto()
    DUPLICATE = enum.auto()
    ID_CONFLICT = enum.auto()


class Fired(NamedTuple):
    """What became of one tick. No admission: it was taken before, or (`paused`) the schedule is paused."""

    admission: Admission | Replaced | None
    paused: bool = False


class Replaced(NamedTuple):
    """The entry became no task of its own: the waiting task of this id, which held its lock, was changed."""

    id: str


class Forwarded(NamedTuple):
    """`moved` tasks are pending now; the next one is due at `next_at` (None: none is waiting)."""

    moved: int
    next_at: float | None


class Expired(NamedTuple):
    """Leases that lapsed, and when the next one will if nobody renews it (None: no task is active)."""

    leases: list[Lease]
    next_at: float | None


class Claimed(NamedTuple):
    """Batches that are ours to aggregate, and when the next group will be ripe if nobody joins it."""

    batches: list[GroupBatch]
    next_at: float | None


class Swept(NamedTuple):
    """How many tasks were deleted, and when the next one will be (None: nothing waits for it)."""

    deleted: int
    next_at: float | None


class Output(msgspec.Struct, frozen=True):
    """What a running handler leaves with its task: a result, progress (JSON), what is known of the attempt so far
    with the lines of its log, or several of them."""

    lease: Lease
    result: bytes | None = None
    progress: bytes | None = None
    live: AttemptRecord | None = None


class Moved(enum.Enum):
    """What became of one task that an operator acted on. The last two are answers of `transfer` only."""

    DONE = enum.auto()
    NOT_FOUND = enum.auto()
    WRONG_STATE = enum.auto()
    #: Its uniqueness lock is held in the other queue.
    DUPLICATE = enum.auto()
    #: The other queue has a task with its id.
    ID_CONFLICT = enum.auto()


class Cancellation(NamedTuple):
    """Somebody wants this task cancelled; `archive`: and archived instead of retried."""

    ref: TaskRef
    archive: bool = False
