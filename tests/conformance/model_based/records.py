"""The records of the model: tasks, scans, leases, batches, queues."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

from asynqio.brokers.contract.inspection import Where
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure
from asynqio.core.lifecycle import Lease
from asynqio.core.schedules.firing import ScheduleState
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState

S = TaskState
#: Tasks that have not started.
WAITING = {S.SCHEDULED, S.RETRY, S.PENDING, S.AGGREGATING}
FINISHED = {S.COMPLETED, S.ARCHIVED}
REWRITABLE = {S.SCHEDULED, S.RETRY, S.PENDING, S.ARCHIVED}
#: States of delayed tasks.
DELAYED = {S.SCHEDULED, S.RETRY}

_VISITS = itertools.count(step=1_000_000)


@dataclass
class Stored:
    """One stored task."""

    message: TaskMessage
    state: TaskState
    #: By state: due, expiry of lease or retention, or since when.
    at: float
    #: The number of the valid lease; 0: none.
    lease: int = 0
    owner: str = ""
    pending_since: float = 0.0
    #: `pending_since` at the time of the last dequeue.
    waited_since: float = 0.0
    batch: str = ""
    result: bytes | None = None
    progress: bytes | None = None
    #: All recorded attempts, and the live record of the running one.
    runs: list[AttemptRecord] = field(default_factory=list)
    live: AttemptRecord | None = None
    #: Counts the states entered, from another number for each task because an id may be used again, and the batches
    #: released.
    visit: int = field(default_factory=partial(next, _VISITS))
    released: int = 0


@dataclass
class FullScan:
    """A scan of the tasks of a state: those present at its start, and those returned, each with its visit."""

    where: Where
    staying: dict[TaskRef, int]
    returned: list[tuple[TaskRef, int, int]] = field(default_factory=list)
    after: str = ""


@dataclass
class Held:
    """A lease of the broker, and its number in the model. It may be stale."""

    lease: Lease
    number: int


@dataclass
class Batch:
    """A claimed batch."""

    batch: GroupBatch
    ids: list[str]
    expires_at: float


@dataclass
class Queue:
    """One queue. PENDING and ACTIVE are in an explicit order, the other states are ordered by `at`."""

    paused: bool = False
    paused_types: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, Stored] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    locks: dict[str, tuple[str, float]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    failures: dict[str, GroupFailure] = field(default_factory=dict)
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    days: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def retry_at(self, group: str) -> float:
        """When a failed group is tried again; 0 if it did not fail."""
        failure = self.failures.get(group)
        return failure.retry_at if failure else 0.0
