"""Looking at a SQLite broker, and tidying it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.brokers.sqlite.admin import actions as tidy
from asynqio.brokers.sqlite.admin import scan
from asynqio.brokers.sqlite.admin import stats as look
from asynqio.brokers.sqlite.admin.memory_usage import memory_usage
from asynqio.brokers.sqlite.doctor import examine as checkup
from asynqio.brokers.sqlite.operations import groups as gather
from asynqio.brokers.sqlite.operations import schedules, transfer
from asynqio.brokers.sqlite.operations import servers as presence
from asynqio.brokers.sqlite.storage.session import Session
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.records import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder

#: Most tasks moved by one transaction of `move_all`, so that nobody else waits long.
MOVES_TOGETHER = 1_000


class SqliteInspection:
    """The `Inspection` half of `SqliteBroker`."""

    _session: Session

    async def queues(self) -> list[str]:
        return await self._session.read(look.queues)

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        return await self._session.read(partial(look.stats, queues=queues))

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        return await self._session.read(partial(memory_usage, queues=queues))

    async def history(self, queue: str, days: int) -> list[DayStats]:
        return await self._session.read(partial(look.history, queue=queue, days=days))

    async def groups(self, queue: str) -> list[GroupStats]:
        return await self._session.read(partial(look.groups, queue=queue))

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        return await self._session.read(partial(look.tasks, where=where, page=page))

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        return await self._session.read(partial(scan.scan, where=where, after=after, size=size))

    async def group_names(self, queue: str) -> list[str]:
        return await self._session.read(partial(scan.group_names, queue=queue))

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        return await self._session.read(partial(look.find, refs=refs))

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        return await self._session.write(partial(tidy.move, action=action, refs=refs, state=state))

    async def move_all(self, action: Action, where: Where) -> int:
        moved = left = 0
        while True:
            page = Page(MOVES_TOGETHER, left)
            some = await self._session.write(partial(tidy.move_some, action=action, where=where, page=page))
            moved += some.moved
            left += some.left
            if some.last:
                return moved

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        answers: list[Moved] = []
        for start in range(0, len(refs), MOVES_TOGETHER):
            some = refs[start : start + MOVES_TOGETHER]
            answers += await self._session.write(partial(transfer.transfer, refs=some, target=target))
        return answers

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        return await self._session.write(partial(tidy.rewrite, payloads=payloads))

    async def flush_group(self, queue: str, group: str) -> int:
        return await self._session.write(partial(gather.flush, queue=queue, group=group))

    async def pause(self, queue: str, paused: bool) -> bool:
        return await self._session.write(partial(tidy.pause, queue=queue, paused=paused))

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        return await self._session.write(partial(tidy.pause_type, queue=queue, type=type, paused=paused))

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        removed = 0
        while (
            some := await self._session.write(partial(tidy.drop_some, queue=queue, force=force))
        ) is not None:
            removed, force = removed + some, True
            if progress is not None:
                progress(removed)

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        found = await asyncio.to_thread(checkup.place, self._session.settings)
        found += await self._session.read(checkup.examine)
        wrong = await self._session.read(checkup.miscounted)
        if wrong and fix:
            await self._session.write(checkup.recount)
        return found + [checkup.figures(queue, fixed=fix) for queue in wrong]

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        return await self._session.read(partial(look.lock_holder, queue=queue, key=key))

    async def nodes(self) -> list[StoreNode]:
        return [await self._session.read(partial(look.node, path=self._session.settings.path))]

    async def servers(self) -> list[ServerInfo]:
        return await self._session.write(presence.servers)

    async def schedulers(self) -> list[SchedulerInfo]:
        return await self._session.write(presence.schedulers)

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        return await self._session.read(partial(schedules.schedule_states, queue=queue))

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        return await self._session.write(partial(schedules.pause_schedule, queue=queue, id=id, paused=paused))

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        return await self._session.read(partial(schedules.fires, schedule_id=schedule_id, page=page))
