"""The Inspection half of the Redis broker: it delegates to `admin/`, `doctor/` and `operations/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.brokers.redis.admin import (
    actions,
    documents,
    memory_usage,
    nodes,
    remove_queue,
    scan,
    stats,
    tasks,
)
from asynqio.brokers.redis.doctor import examine
from asynqio.brokers.redis.operations import groups, schedules, servers, transfer
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class RedisInspection(ABC):
    """The `Inspection` half of `RedisBroker`, which provides the session."""

    @abstractmethod
    async def _session(self) -> Session:
        """The open session of the running event loop."""

    async def queues(self) -> list[str]:
        return await stats.queues(await self._session())

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return await stats.stats(await self._session(), queues)

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        return await memory_usage.memory_usage(await self._session(), queues)

    async def history(self, queue: str, days: int) -> list[DayStats]:
        return await stats.history(await self._session(), queue, days)

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        return await stats.groups(await self._session(), queue, names)

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        return await tasks.tasks(await self._session(), where, page)

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        return await scan.scan(await self._session(), where, after, size)

    async def group_names(self, queue: str) -> list[str]:
        return await scan.group_names(await self._session(), queue)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        return await tasks.find(await self._session(), refs)

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        return await actions.move(await self._session(), action, refs, state, near)

    async def move_all(self, action: Action, where: Where) -> int:
        return await actions.move_all(await self._session(), action, where)

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        return await transfer.transfer(await self._session(), refs, target)

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        return await actions.rewrite(await self._session(), payloads)

    async def flush_group(self, queue: str, group: str) -> int:
        return await groups.flush_group(await self._session(), queue, group)

    async def pause(self, queue: str, paused: bool) -> bool:
        return await actions.pause(await self._session(), queue, paused)

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        return await actions.pause_type(await self._session(), queue, type, paused)

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        await remove_queue.remove_queue(await self._session(), queue, force=force, progress=progress)

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return await examine.examine(await self._session(), fix=fix, progress=progress)

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        return await tasks.lock_holder(await self._session(), queue, key)

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        return await documents.collection(await self._session(), name, known)

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        return await documents.put_document(await self._session(), collection, name, data, known)

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        await documents.append_log(await self._session(), log, entries, keep, age)

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        return await documents.read_log(await self._session(), log, before, limit)

    async def nodes(self) -> list[StoreNode]:
        return await nodes.nodes(await self._session())

    async def servers(self) -> list[ServerInfo]:
        return await servers.servers(await self._session())

    async def schedulers(self) -> list[SchedulerInfo]:
        return await servers.schedulers(await self._session())

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        return await schedules.schedule_states(await self._session(), queue)

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        return await schedules.pause_schedule(await self._session(), queue, id, paused)

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        return await schedules.fires(await self._session(), schedule_id, page)
