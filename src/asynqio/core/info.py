"""What a server says of itself, and the figures of a queue. Plain values, kept and handed out by brokers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from asynqio.core.groups import GroupRule
from asynqio.core.task.message import TaskState

#: Stores that have to add up the members of groups do so up to so many groups, and estimate beyond that: figures
#: cost the same however many groups there are.
GROUPS_SUMMED = 100
#: So many tasks, from the front of the line on, are looked at for the one that waits longest. Who was handed back
#: stands at the front and waits anew, so the first is not always the oldest.
FRONT = 1_000

#: Payloads up to so many bytes are part of a worker's card.
SHOWN_PAYLOAD = 1_024


class StoreNode(msgspec.Struct, frozen=True):
    """One server, or file, of which a store is made, as it says itself. What it does not say is empty or 0."""

    #: The port of a Redis, the path of a file.
    name: str
    version: str
    #: Seconds since it was started.
    uptime: float = 0.0
    #: Connections of clients.
    connections: int = 0
    #: Bytes in use, and the most there were: of memory, or of the file.
    used: int = 0
    peak: int = 0


class WorkerInfo(msgspec.Struct, frozen=True):
    """One task that a server is running now."""

    queue: str
    id: str
    type: str
    started_at: float
    #: When its time is over; 0 when it has no limit.
    deadline: float = 0.0
    #: It was told to stop, and did not come back yet.
    stuck: bool = False
    #: Of a small task (see SHOWN_PAYLOAD): a card must not grow with what is worked on.
    payload: bytes | None = None


class ServerInfo(msgspec.Struct, frozen=True):
    """One worker server, as it presents itself at every heartbeat."""

    id: str
    host: str
    pid: int
    started_at: float
    queues: dict[str, int]
    strict_priority: bool = False
    concurrency: int = 1
    #: "active" or "stopped" (it finishes what it has and takes nothing new).
    status: str = "active"
    workers: list[WorkerInfo] = []
    #: Since its start: attempts that ended, and those of them that failed.
    processed: int = 0
    failed: int = 0
    #: Finished too late: the lease had passed to somebody else and the result was refused.
    refused: int = 0
    #: Batches of groups that were claimed and not merged: the aggregate function raised, or its task was refused.
    unmerged: int = 0
    #: When it said this; 0: not known (a server of Go).
    at: float = 0.0
    #: The task types that it has handlers for, or their beginnings; None: it does not say (Go's servers).
    types: list[str] | None = None
    #: By which rules it aggregates groups, by pattern (see GroupRules); none: it does not, or does not say.
    group_rules: dict[str, GroupRule] = {}

    def knows(self, type: str) -> bool | None:
        """Whether it has a handler for tasks of this type; None: it does not say."""
        return None if self.types is None else any(type.startswith(pattern) for pattern in self.types)


class ScheduleInfo(msgspec.Struct, frozen=True):
    """One entry of a scheduler: its spec, its task, and when it fires."""

    id: str
    spec: str
    #: The time zone in which the spec is read; empty where nobody says (Go tells only what stands in the spec).
    zone: str
    queue: str
    type: str
    payload: bytes | None = None
    #: The options of its tasks as Go's tools show them: `Queue("low")`, `Timeout(1m30s)`.
    options: list[str] = []
    #: What becomes of ticks at which no scheduler was there: "skip", "once", or how many of the last are made up.
    missed: str | int = "skip"
    #: The next tick, and the last one that was taken; None: there is none.
    next_at: float | None = None
    prev_at: float | None = None
    paused: bool = False


class SchedulerInfo(msgspec.Struct, frozen=True):
    """One scheduler, as it presents itself at every heartbeat."""

    id: str
    host: str
    pid: int
    started_at: float
    entries: list[ScheduleInfo] = []


class QueueStats(msgspec.Struct, frozen=True):
    """The figures of one queue at one moment."""

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
    #: Whether `aggregating` is an estimate: a store that would have to add up more groups than `GROUPS_SUMMED`
    #: gives what a hundred of them, picked by chance, say of all. Everything else is exact.
    estimated: bool = False
    #: Seconds that the pending task which waits longest has been waiting, and since when; 0: none waits.
    latency: float = 0.0
    oldest_pending_at: float = 0.0
    #: When the SCHEDULED or RETRY task that is overdue for longest was due; 0: none is overdue. More than a few
    #: seconds ago means that no server forwards the tasks of this queue.
    overdue_since: float = 0.0
    #: Attempts that ended, and failed, today (UTC) and since the queue exists.
    processed: int = 0
    failed: int = 0
    processed_total: int = 0
    failed_total: int = 0
    #: Since the queue exists: archived tasks dropped because the archive was full or they were too old, and
    #: stored bytes that were no task and are archived as `asynqio:corrupt`.
    evicted_total: int = 0
    quarantined_total: int = 0

    @property
    def size(self) -> int:
        """Tasks in the queue, in whatever state."""
        return sum(int(getattr(self, state.value)) for state in TaskState)


def longest_waiting(front: Iterable[float]) -> float:
    """Since when the pending task that waits longest has been waiting; 0: none, or it is not known.

    `front` are the moments at which the tasks joined the line, from its front on; 0 where it was not noted. Who was
    handed back stands at the front, the latest first; behind them the line was joined in order. So the times first
    fall and then rise, and where they begin to rise nobody further back can have waited for longer.
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
    """What a queue did on one day (UTC)."""

    queue: str
    day: str
    processed: int = 0
    failed: int = 0


class GroupStats(msgspec.Struct, frozen=True):
    """One group that waits to be aggregated."""

    group: str
    size: int
    oldest_at: float
    newest_at: float
