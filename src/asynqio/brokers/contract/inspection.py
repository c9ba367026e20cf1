"""The second half of the contract: reading a store and administering it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from asynqio.brokers.contract.results import (
    Moved,
    Progress,
)
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.records import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class Where(msgspec.Struct, frozen=True):
    """The tasks of one state of one queue; for AGGREGATING of one group, or of all when it is empty."""

    queue: str
    state: TaskState
    group: str = ""


class Page(msgspec.Struct, frozen=True):
    """At most `size` items from the `offset`-th on (0 is the first)."""

    size: int = 30
    offset: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.offset < 0:
            raise ValueError(f"{self!r}: size must be at least 1 and offset at least 0")


class Scan(NamedTuple):
    """One step of a walk: some tasks, and the place behind them for the next step. No place: that was the end."""

    infos: list[TaskInfo]
    after: str


class Inspection(Protocol):
    """Looking at a store, and tidying it."""

    async def queues(self) -> list[str]: ...
    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """The figures of each queue, at a price that does not grow with the number of tasks or groups (where that
        takes an estimate, `estimated` says so). `latency` and `oldest_pending_at` are those of the task that waits
        longest, among the first `FRONT` of the line. Raises QueueNotFound."""
        ...

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        """About how many bytes each queue takes, from a sample of `SAMPLE` tasks of each state: it costs the same
        however long the queue is, and is as good as the tasks are alike. Raises QueueNotFound."""
        ...

    async def history(self, queue: str, days: int) -> list[DayStats]:
        """The last `days` days, today first. Raises QueueNotFound."""
        ...

    async def groups(self, queue: str) -> list[GroupStats]: ...
    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        """PENDING and ACTIVE in working order, SCHEDULED and RETRY earliest first, COMPLETED and ARCHIVED
        latest first, AGGREGATING oldest first. Raises QueueNotFound."""
        ...

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        """At most `size` tasks behind the place `after` ("": from the beginning), in the order of `tasks`; there
        may be fewer, even none, before the end (19). Of AGGREGATING tasks one group is walked through: name it.
        Raises QueueNotFound, ValueError (no group, or a place that is none)."""
        ...

    async def group_names(self, queue: str) -> list[str]:
        """All groups that hold tasks, claimed or not. Raises QueueNotFound."""
        ...

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]: ...
    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        """`state`: act only on those that are still in it, the others answer WRONG_STATE. `near`: the `after` of
        the step that showed the first of them; in a long line they need not be searched then."""
        ...

    async def move_all(self, action: Action, where: Where) -> int: ...
    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        """Put tasks that wait (`MoveTo.origins`) into the queue `target`, as they are: state, time, payload, retries,
        headers, group, result. PENDING ones join the end of the line there, those of one queue in the order
        given. Who holds its uniqueness lock holds it there from then on.

        WRONG_STATE also if it is in `target` already, DUPLICATE before ID_CONFLICT; a refused task stays as it
        is. Where two queues have no step in common (Redis), a task that is under way is nobody's for a moment:
        no server takes it. Should the caller die then, the same call made again, or a sweep of either queue a minute
        later, ends what was begun: at no moment can it be lost, and in no case is it taken from both queues.
        """
        ...

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        """New payloads for tasks that wait (SCHEDULED, RETRY, PENDING, ARCHIVED); a uniqueness lock moves
        along."""
        ...

    async def flush_group(self, queue: str, group: str) -> int:
        """Make a group ripe at once, whatever its rule; how many unclaimed members it has. Raises QueueNotFound."""
        ...

    async def pause(self, queue: str, paused: bool) -> bool:
        """False: it was so already. A queue may be paused before its first task."""
        ...

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        """Tasks of this type are not to be run by servers of ours, or are again; Go's know nothing of it. False: it
        was so already. May come before the first task."""
        ...

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        """Remove the queue with everything in it and of it. Raises QueueNotFound, WrongState (active tasks; or any
        task at all without `force`).

        It is paused first, and goes in steps, so that nobody else waits long; `progress` is called with the number of
        tasks that are gone. Who is interrupted leaves a paused queue that has fewer tasks, and calls again."""
        ...

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        """The task that holds a uniqueness lock (`TaskMessage.unique_key`) now; None: nobody does."""
        ...

    async def nodes(self) -> list[StoreNode]:
        """What the store is made of, for people to look at; nothing where it does not say, or may not be asked."""
        ...

    async def servers(self) -> list[ServerInfo]: ...
    async def schedulers(self) -> list[SchedulerInfo]: ...
    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        """What is known of the schedules of a queue, by their ids; nothing when there is no such queue."""
        ...

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        """Pause a schedule, or let it go on: its ticks meanwhile are not made up. False: it was so already."""
        ...

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        """What a schedule has put in, newest first."""
        ...

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        """What is wrong with the store itself and with what is in it, as far as only this kind of store can have it
        (settings, disks, ids without tasks). Looks through everything, in steps that block nobody; `progress` is
        called with the number of tasks and keys that were looked at. `fix`: what is fixable is put right, and is
        `fixed` then; nothing is deleted that somebody could still want."""
        ...
