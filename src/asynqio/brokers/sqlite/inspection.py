"""The Inspection half of the SQLite broker. Each method runs one step, or several, on the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.brokers.sqlite.admin import actions, documents, stats, tasks
from asynqio.brokers.sqlite.admin.memory_usage import memory_usage
from asynqio.brokers.sqlite.admin.remove_queue import remove_step
from asynqio.brokers.sqlite.admin.scan import scan
from asynqio.brokers.sqlite.doctor.examine import examine
from asynqio.brokers.sqlite.operations import groups, schedules, servers
from asynqio.brokers.sqlite.operations.transfer import transfer
from asynqio.brokers.sqlite.pace import STEP, Pace, chunks
from asynqio.brokers.sqlite.session import Session
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder

T = TypeVar("T")


class SqliteInspection:
    """The `Inspection` half of `SqliteBroker`. A base class, because one object must satisfy both protocols."""

    _session: Session

    async def _in_steps(
        self, step: Callable[[Transaction, Sequence[T]], list[Moved]], items: Sequence[T]
    ) -> list[Moved]:
        """Run a step for all items, in short transactions."""
        answers: list[Moved] = []
        pace = Pace(self._session)
        for some in chunks(items):
            answers += await pace.write(step, some)
        return answers

    async def queues(self) -> list[str]:
        return await self._session.read(stats.queue_names)

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return await self._session.read(partial(stats.queue_stats, queues=queues))

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        return await self._session.read(partial(memory_usage, queues=queues))

    async def history(self, queue: str, days: int) -> list[DayStats]:
        return await self._session.read(partial(stats.history, queue=queue, days=days))

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        return await self._session.read(partial(stats.group_stats, queue=queue, names=names))

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        return await self._session.read(partial(tasks.list_tasks, where=where, page=page))

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        return await self._session.read(partial(scan, where=where, after=after, size=size))

    async def group_names(self, queue: str) -> list[str]:
        return await self._session.read(partial(stats.group_names, queue=queue))

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        return await self._session.read(partial(tasks.find, refs=refs))

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        return await self._in_steps(partial(actions.act, action=action, state=state), refs)

    async def move_all(self, action: Action, where: Where) -> int:
        moved = skipped = 0
        pace = Pace(self._session)
        while True:
            page = Page(STEP, skipped)
            result = await pace.write(actions.act_on_page, action, where, page)
            moved += result.moved
            skipped += result.skipped
            if result.last:
                return moved

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        return await self._in_steps(partial(transfer, target=target), refs)

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        return await self._in_steps(actions.rewrite, list(payloads.items()))

    async def flush_group(self, queue: str, group: str) -> int:
        return await self._session.write(partial(groups.flush_group, queue=queue, group=group))

    async def pause(self, queue: str, paused: bool) -> bool:
        return await self._session.write(partial(actions.pause, queue=queue, paused=paused))

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        return await self._session.write(partial(actions.pause_type, queue=queue, type=type, paused=paused))

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        removed = 0
        pace = Pace(self._session)
        while (some := await pace.write(remove_step, queue, force=force)) is not None:
            removed, force = removed + some, True
            if progress is not None:
                progress(removed)

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return await examine(self._session, fix=fix)

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        return await self._session.read(partial(tasks.lock_holder, queue=queue, key=key))

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        return await self._session.read(partial(documents.collection, name=name, known=known))

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        step = partial(documents.put_document, collection=collection, name=name, data=data, known=known)
        return await self._session.write(step)

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        step = partial(documents.append_log, log=log, entries=entries, keep=keep, age=age)
        await self._session.write(step)

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        step = partial(documents.read_log, log=log, before=before, limit=limit)
        return await self._session.read(step)

    async def nodes(self) -> list[StoreNode]:
        return [await self._session.read(partial(stats.node, path=self._session.settings.path))]

    async def servers(self) -> list[ServerInfo]:
        return await self._session.write(servers.servers)

    async def schedulers(self) -> list[SchedulerInfo]:
        return await self._session.write(servers.schedulers)

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        return await self._session.read(partial(schedules.schedule_states, queue=queue))

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        return await self._session.write(partial(schedules.pause_schedule, queue=queue, id=id, paused=paused))

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        return await self._session.read(partial(schedules.fires, schedule_id=schedule_id, page=page))
