"""The Inspection half of the contract: reading a store, and operator actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder

#: The states in which `rewrite` may replace a payload.
REWRITABLE = frozenset({TaskState.SCHEDULED, TaskState.RETRY, TaskState.PENDING, TaskState.ARCHIVED})


class Where(msgspec.Struct, frozen=True):
    """The tasks of one state of one queue; for AGGREGATING those of one group, or of all groups if it is empty."""

    queue: str
    state: TaskState
    group: str = ""


class Page(msgspec.Struct, frozen=True):
    """At most `size` items, from index `offset` on (the first is 0)."""

    size: int = 30
    offset: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.offset < 0:
            raise ValueError(f"{self!r}: size must be at least 1 and offset at least 0")


class Scan(NamedTuple):
    """One step of a scan: tasks, and the cursor for the next step; "" after the last task."""

    infos: list[TaskInfo]
    after: str


class Inspection(Protocol):
    """Reads a store and carries out operator actions. Answers are aligned with the input, one per item."""

    # reading queues

    async def queues(self) -> list[str]:
        """The names of all queues, sorted."""
        ...

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """Stats of each queue. The cost does not grow with the number of tasks or groups; where that takes an
        estimate, `estimated` is set. Finished tasks count until a sweep deletes them (rule 21). `latency` and
        `oldest_pending_at` belong to the longest-waiting of the first `FRONT` pending tasks. Raises QueueNotFound."""
        ...

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        """An estimate of the bytes that each queue takes, from a sample of `SAMPLE` tasks per state: the cost does
        not grow with the queue; the more alike the tasks, the better the estimate. Raises QueueNotFound."""
        ...

    async def history(self, queue: str, days: int) -> list[DayStats]:
        """Stats of the last `days` days (UTC), today first. Raises QueueNotFound."""
        ...

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        """Stats of the groups (of those named) that hold unclaimed tasks, by name. Raises QueueNotFound."""
        ...

    async def group_names(self, queue: str) -> list[str]:
        """All groups that hold tasks, claimed or not. Raises QueueNotFound."""
        ...

    # reading tasks

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        """One page of tasks: PENDING and ACTIVE in processing order, SCHEDULED and RETRY earliest first, COMPLETED
        and ARCHIVED latest first, AGGREGATING oldest first. Raises QueueNotFound."""
        ...

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        """At most `size` tasks behind the cursor `after` ("": from the start), in the order of `tasks`. A step may
        return fewer tasks, even none, before the end (rule 19). AGGREGATING needs a group. Raises QueueNotFound;
        ValueError without a group, or for an invalid cursor."""
        ...

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        """The snapshot of each task; None: not found."""
        ...

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        """The task that holds a uniqueness lock (`TaskMessage.unique_key`); None: the lock is free."""
        ...

    # acting on tasks

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        """Run, archive or delete tasks. With `state`, a task in another state answers WRONG_STATE. `near` is the
        cursor of the scan step that returned the first of them: a hint that saves a search in a long list."""
        ...

    async def move_all(self, action: Action, where: Where) -> int:
        """Run, archive or delete all tasks of a state; returns their number. Raises QueueNotFound."""
        ...

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        """Transfer waiting tasks (states `TransferTo.origins`) to the queue `target`. State, time, payload, retries,
        headers, group and result stay the same. PENDING tasks join the end of the target, those of one queue in the
        order given. A task that holds its uniqueness lock holds it in the target from then on.

        WRONG_STATE also if the task is in `target`; DUPLICATE before ID_CONFLICT. A refused task stays unchanged.
        Where one step cannot cover both queues (Redis), no server can take the task for a moment during the transfer.
        If the caller dies then, repeating the call, or a sweep of either queue a minute later, completes the
        transfer: the task is never lost and never processed from both queues.
        """
        ...

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        """Replace the payloads of waiting tasks (states `REWRITABLE`). A uniqueness lock computed from the payload is
        computed again."""
        ...

    # acting on groups, queues and types

    async def flush_group(self, queue: str, group: str) -> int:
        """Make the current members of a group ripe, whatever its rule; returns their number, without those claimed.
        Raises QueueNotFound."""
        ...

    async def pause(self, queue: str, paused: bool) -> bool:
        """Pause or resume a queue. Returns False if it was in that state. A queue can be paused before its first
        task."""
        ...

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        """Pause or resume a task type on asynqio's servers; servers of Go asynq ignore it. Returns False if it was in
        that state. A type can be paused before its first task."""
        ...

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        """Remove the queue and everything in it. Raises QueueNotFound; WrongState if it has active tasks, or any task
        without `force`.

        It is paused first and removed in steps, so that other callers wait only for a moment; `progress` is called
        with the number of deleted tasks. An interrupted call leaves a paused queue with fewer tasks: repeat it."""
        ...

    # servers, schedulers, schedules

    async def servers(self) -> list[ServerInfo]:
        """The running servers."""
        ...

    async def schedulers(self) -> list[SchedulerInfo]:
        """The running schedulers."""
        ...

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        """The states of the schedules of a queue, by id; empty if the queue does not exist."""
        ...

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        """Pause or resume a schedule; ticks missed while paused are skipped. False: it was in that state."""
        ...

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        """The events of a schedule, newest first."""
        ...

    # documents and logs

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        """The documents of a collection; before the first write it is empty and has revision 0 (rule 22). None: its
        revision is `known`, and above 0."""
        ...

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        """Store a document, or delete it if `data` is None. Returns the new revision of the collection. With `known`,
        only while the collection has that revision; otherwise it returns None and changes nothing."""
        ...

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        """Append entries to a log, of which it keeps the newest `keep`, none older than `age` seconds (rule 22)."""
        ...

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        """At most `limit` entries of a log, newest first; with `before`, those with lower numbers."""
        ...

    # the store itself

    async def nodes(self) -> list[StoreNode]:
        """The nodes of the store; empty if it has none or does not permit the question."""
        ...

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        """Problems that only this kind of store can have: settings, disks, ids without tasks. Reads everything, in
        steps that block other callers only for a moment; `progress` is called with the number of tasks and keys read.
        With `fix`, fixable problems are fixed and their findings marked `fixed`; no usable data is deleted."""
        ...
