"""Plain values that brokers store and return: servers, schedulers, schedules, and statistics of queues."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asynqio.core.groups import GroupFailure, GroupRule
from asynqio.core.task.message import TaskState

#: Stores that sum the sizes of groups do so for up to this number of groups and estimate beyond it, so that
#: statistics have a constant cost.
GROUPS_SUMMED = 100
#: Number of tasks at the head of a queue that are searched for the longest-waiting one. Tasks that were handed back
#: are at the head and wait anew, so the first task is not always the oldest.
FRONT = 1_000

#: Largest payload that is part of a `WorkerInfo`, in bytes.
SHOWN_PAYLOAD = 1_024


class StoreNode(msgspec.Struct, frozen=True):
    """One server or file of a store. Unknown values are empty or 0."""

    #: The port of a Redis, the path of a file.
    name: str
    version: str
    #: Seconds since its start.
    uptime: float = 0.0
    #: Client connections.
    connections: int = 0
    #: Bytes in use now, and at most so far: of memory, or of the file.
    used: int = 0
    peak: int = 0


class WorkerInfo(msgspec.Struct, frozen=True):
    """One task that a server is running."""

    queue: str
    id: str
    type: str
    started_at: float
    #: When it times out, in epoch seconds; 0 without a limit.
    deadline: float = 0.0
    #: It was asked to stop and has not returned.
    stuck: bool = False
    #: None if larger than SHOWN_PAYLOAD: the size of server info is bounded.
    payload: bytes | None = None


class ServerInfo(msgspec.Struct, frozen=True):
    """One worker server, as published with each heartbeat."""

    id: str
    host: str
    pid: int
    started_at: float
    queues: dict[str, int]
    strict_priority: bool = False
    concurrency: int = 1
    #: "active", or "stopped": it finishes its tasks and dequeues no more.
    status: str = "active"
    workers: list[WorkerInfo] = []
    #: Attempts that ended since its start, and those of them that failed.
    processed: int = 0
    failed: int = 0
    #: Attempts that ended after another server had taken over the lease; their result was rejected.
    refused: int = 0
    #: Claimed batches that were not merged: the aggregate function raised, or its task was rejected.
    unmerged: int = 0
    #: When this was published, in epoch seconds; 0 if unknown (servers of Go).
    at: float = 0.0
    #: The clock of its store minus its own, in seconds; 0 if unknown, or if the store has no clock of its own.
    clock_skew: float = 0.0
    #: The task types, or prefixes of them, for which it has handlers; None if unknown (servers of Go).
    types: list[str] | None = None
    #: Its aggregation rules by pattern (see GroupRules); empty if it aggregates no groups, or if unknown.
    group_rules: dict[str, GroupRule] = {}

    def knows(self, type: str) -> bool | None:
        """Whether it has a handler for this task type; None if unknown."""
        return None if self.types is None else any(type.startswith(pattern) for pattern in self.types)


class ScheduleInfo(msgspec.Struct, frozen=True):
    """One entry of a scheduler: its spec, its task, and when it fires."""

    id: str
    spec: str
    #: The time zone of the spec; empty if unknown (Go publishes the spec only).
    zone: str
    queue: str
    type: str
    payload: bytes | None = None
    #: The options of its tasks in the format of Go's tools: `Queue("low")`, `Timeout(1m30s)`.
    options: list[str] = []
    #: What to do with missed ticks: "skip", "once", or the number of latest ticks to fire late.
    missed: str | int = "skip"
    #: The next tick and the last fired tick, in epoch seconds; None if there is none.
    next_at: float | None = None
    prev_at: float | None = None
    paused: bool = False


class SchedulerInfo(msgspec.Struct, frozen=True):
    """One scheduler, as published with each heartbeat."""

    id: str
    host: str
    pid: int
    started_at: float
    entries: list[ScheduleInfo] = []


class QueueStats(msgspec.Struct, frozen=True):
    """Statistics of one queue at one moment."""

    queue: str
    paused: bool = False
    pending: int = 0
    active: int = 0
    scheduled: int = 0
    retry: int = 0
    archived: int = 0
    completed: int = 0
    aggregating: int = 0
    #: Number of groups that hold tasks.
    groups: int = 0
    #: Whether `aggregating` is an estimate: a store that would have to sum more than `GROUPS_SUMMED` groups
    #: extrapolates from a random sample of that size. All other values are exact.
    estimated: bool = False
    #: How long the longest-waiting pending task has waited in seconds, and since when; 0 if none is pending.
    latency: float = 0.0
    oldest_pending_at: float = 0.0
    #: When the most overdue SCHEDULED or RETRY task was due; 0 if none is overdue. More than a few seconds ago means
    #: that no server forwards the tasks of this queue.
    overdue_since: float = 0.0
    #: Attempts that ended, and that failed: today (UTC), and since the queue was created.
    processed: int = 0
    failed: int = 0
    processed_total: int = 0
    failed_total: int = 0
    #: Since the queue was created: archived tasks deleted because the archive was full or they were too old, and
    #: invalid stored messages, which are archived as `asynqio:corrupt`.
    evicted_total: int = 0
    quarantined_total: int = 0

    @property
    def size(self) -> int:
        """The number of tasks in any state."""
        return sum(int(getattr(self, state.value)) for state in TaskState)


def longest_waiting(front: Iterable[float]) -> float:
    """When the longest-waiting pending task became pending, in epoch seconds; 0 if there is none or it is unknown.

    `front` are the times at which the tasks became pending, from the head of the queue; 0 if unknown. Tasks that were
    handed back are at the head, the latest first; behind them, tasks are in order. So the times first fall and then
    rise, and once they rise, no task further back has waited longer.
    """
    oldest = before = 0.0
    for since in front:
        if not since:
            continue
        if before and since > before:
            break
        oldest = before = since
    return oldest


class DayStats(msgspec.Struct, frozen=True):
    """Attempts of one queue on one day (UTC)."""

    queue: str
    day: str
    processed: int = 0
    failed: int = 0


class GroupStats(msgspec.Struct, frozen=True):
    """One group that waits for aggregation. Times are epoch seconds."""

    group: str
    size: int
    oldest_at: float
    newest_at: float
    #: Its failed aggregations in a row, and when it is tried again; None if the last one succeeded.
    failure: GroupFailure | None = None
