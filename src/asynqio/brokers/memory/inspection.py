"""The Inspection half of the memory broker. Each method is one call of a function on the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.brokers.memory.admin import actions, documents, stats, tasks
from asynqio.brokers.memory.admin.memory_usage import memory_usage
from asynqio.brokers.memory.admin.remove_queue import remove_queue
from asynqio.brokers.memory.admin.scan import scan
from asynqio.brokers.memory.operations import groups, schedules, servers
from asynqio.brokers.memory.operations.transfer import transfer
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.clock import Clock
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class MemoryInspection:
    """The `Inspection` half of `MemoryBroker`. A base class, because one object must satisfy both protocols."""

    clock: Clock
    _store: MemoryStore

    async def queues(self) -> list[str]:
        return sorted(self._store.queues)

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return stats.queue_stats(self._store, self.clock.now(), queues)

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        return memory_usage(self._store, queues)

    async def history(self, queue: str, days: int) -> list[DayStats]:
        return stats.history(self._store, self.clock.now(), queue, days)

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        return stats.group_stats(self._store, queue, names)

    async def group_names(self, queue: str) -> list[str]:
        return stats.group_names(self._store, queue)

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        return tasks.list_tasks(self._store, self.clock.now(), where, page)

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        return scan(self._store, self.clock.now(), where, after, size)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        return tasks.find(self._store, self.clock.now(), refs)

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        return tasks.lock_holder(self._store, self.clock.now(), queue, key)

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        return actions.act(self._store, self.clock.now(), action, refs, state)

    async def move_all(self, action: Action, where: Where) -> int:
        return actions.act_on_all(self._store, self.clock.now(), action, where)

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        return transfer(self._store, self.clock.now(), refs, target)

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        return actions.rewrite(self._store, self.clock.now(), payloads)

    async def flush_group(self, queue: str, group: str) -> int:
        return groups.flush_group(self._store, queue, group)

    async def pause(self, queue: str, paused: bool) -> bool:
        return actions.pause(self._store, queue, paused)

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        return actions.pause_type(self._store, self.clock.now(), queue, type, paused)

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        remove_queue(self._store, queue, force, progress)

    async def servers(self) -> list[ServerInfo]:
        return servers.servers(self._store, self.clock.now())

    async def schedulers(self) -> list[SchedulerInfo]:
        return servers.schedulers(self._store, self.clock.now())

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        return schedules.schedule_states(self._store, queue)

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        return schedules.pause_schedule(self._store, self.clock.now(), queue, id, paused)

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        return schedules.fires(self._store, self.clock.now(), schedule_id, page)

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        return documents.collection(self._store, name, known)

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        return documents.put_document(self._store, collection, name, data, known)

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        documents.append_log(self._store, self.clock.now(), log, entries, keep, age)

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        return documents.read_log(self._store, log, before, limit)

    async def nodes(self) -> list[StoreNode]:
        return []

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return []  # every change is one step of one process, so nothing can be inconsistent
