"""The Inspection half of the remote broker: each method is a call of the gateway."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class RemoteInspection(ABC):
    """The `Inspection` half of `RemoteBroker`, which makes the calls."""

    @abstractmethod
    async def _call(self, name: str, *arguments: Any, progress: Progress | None = None) -> Any:
        """Call an operation of the table (see wire/operations.py)."""

    async def queues(self) -> list[str]:
        return await self._call("queues")

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return await self._call("stats", queues)

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        return await self._call("memory_usage", queues)

    async def history(self, queue: str, days: int) -> list[DayStats]:
        return await self._call("history", queue, days)

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        return await self._call("groups", queue, names)

    async def group_names(self, queue: str) -> list[str]:
        return await self._call("group_names", queue)

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        return await self._call("tasks", where, page)

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        return await self._call("scan", where, after, size)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        return await self._call("find", refs)

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        return await self._call("lock_holder", queue, key)

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        return await self._call("move", action, refs, state, near)

    async def move_all(self, action: Action, where: Where) -> int:
        return await self._call("move_all", action, where)

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        return await self._call("transfer", refs, target)

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        return await self._call("rewrite", payloads)

    async def flush_group(self, queue: str, group: str) -> int:
        return await self._call("flush_group", queue, group)

    async def pause(self, queue: str, paused: bool) -> bool:
        return await self._call("pause", queue, paused)

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        return await self._call("pause_type", queue, type, paused)

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        await self._call("remove_queue", queue, force, progress=progress)

    async def servers(self) -> list[ServerInfo]:
        return await self._call("servers")

    async def schedulers(self) -> list[SchedulerInfo]:
        return await self._call("schedulers")

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        return await self._call("schedule_states", queue)

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        return await self._call("pause_schedule", queue, id, paused)

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        return await self._call("fires", schedule_id, page)

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        return await self._call("collection", name, known)

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        return await self._call("put_document", collection, name, data, known)

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        await self._call("append_log", log, entries, keep, age)

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        return await self._call("read_log", log, before, limit)

    async def nodes(self) -> list[StoreNode]:
        return await self._call("nodes")

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return await self._call("examine", fix, progress=progress)
