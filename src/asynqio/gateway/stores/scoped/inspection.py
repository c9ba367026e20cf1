"""The Inspection half of a scoped store: checked and stored on the way in, shown on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.core.access.actions import Action as Permission
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.errors import AccessDenied
from asynqio.gateway.stores.scoped.permissions import NEEDS, OPERATIONS
from asynqio.gateway.stores.scoped.servers import shown_scheduler, shown_server
from asynqio.gateway.stores.scoped.view import View

_PAYLOAD, _RESULT = (Permission.READ_PAYLOAD,), (Permission.READ_RESULT,)
_replace = msgspec.structs.replace


class ScopedInspection(View):
    """See ScopedStore."""

    # --- reading queues ---------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        self._guard.anywhere("queues")
        with self._names:
            queues = self._names.owned(await self._store.queues())
        return [queue for queue in queues if self._guard.may(NEEDS["queues"], queue, None)]

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        self._guard.queues("stats", queues)
        with self._names:
            found = await self._store.stats(self._names.stored_all(queues))
        return [_replace(one, queue=queue) for one, queue in zip(found, queues, strict=True)]

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        self._guard.queues("memory_usage", queues)
        with self._names:
            return await self._store.memory_usage(self._names.stored_all(queues))

    async def history(self, queue: str, days: int) -> list[DayStats]:
        self._guard.queues("history", [queue])
        with self._names:
            found = await self._store.history(self._names.stored(queue), days)
        return [_replace(day, queue=queue) for day in found]

    async def groups(self, queue: str, names: Sequence[str] | None = None) -> list[GroupStats]:
        self._guard.queues("groups", [queue])
        with self._names:
            return await self._store.groups(self._names.stored(queue), names)

    async def group_names(self, queue: str) -> list[str]:
        self._guard.queues("group_names", [queue])
        with self._names:
            return await self._store.group_names(self._names.stored(queue))

    # --- reading tasks ----------------------------------------------------------------------------

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        self._guard.queues("tasks", [where.queue])
        with self._names:
            found = await self._store.tasks(self._names.stored_where(where), page)
        return [info for info in map(self._shown, found) if info is not None]

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        self._guard.queues("scan", [where.queue])
        with self._names:
            found = await self._store.scan(self._names.stored_where(where), after, size)
        return Scan([info for info in map(self._shown, found.infos) if info is not None], found.after)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        self._guard.queues("find", (ref.queue for ref in refs))
        with self._names:
            found = await self._store.find(self._names.stored_refs(refs))
        return [None if info is None else self._shown(info) for info in found]

    def _shown(self, info: TaskInfo) -> TaskInfo | None:
        """A snapshot with what the principal may read; None: it may not read tasks of this type."""
        shown = self._names.shown_message(info)
        if self._guard.open:
            return shown
        queue, type = shown.queue, shown.type
        if not self._guard.may(NEEDS["find"], queue, type):
            return None
        if not self._guard.may(_PAYLOAD, queue, type):
            shown = _replace(shown, payload=None)
        if not self._guard.may(_RESULT, queue, type):
            shown = _replace(shown, result=None, progress=None)
        return shown

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        self._guard.queues("lock_holder", [queue])
        stored = self._names.stored_key(queue, key)
        if not stored:
            return None  # no lock of this queue
        with self._names:
            return await self._store.lock_holder(self._names.stored(queue), stored)

    # --- acting on tasks --------------------------------------------------------------------------

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        await self._require_tasks(OPERATIONS[action], refs)
        with self._names:
            return await self._store.move(action, self._names.stored_refs(refs), state=state, near=near)

    async def move_all(self, action: Action, where: Where) -> int:
        self._guard.whole(OPERATIONS[action], where.queue)
        with self._names:
            return await self._store.move_all(action, self._names.stored_where(where))

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        await self._require_tasks(NEEDS["transfer"], refs)
        await self._require_tasks(NEEDS["enqueue"], refs, target)
        with self._names:
            return await self._store.transfer(self._names.stored_refs(refs), self._names.stored(target))

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        refs = list(payloads)
        await self._require_tasks(NEEDS["rewrite"], refs)
        with self._names:
            return await self._store.rewrite(
                dict(zip(self._names.stored_refs(refs), payloads.values(), strict=True))
            )

    # --- acting on groups, queues and types -------------------------------------------------------

    async def flush_group(self, queue: str, group: str) -> int:
        self._guard.whole(NEEDS["flush_group"], queue)
        with self._names:
            return await self._store.flush_group(self._names.stored(queue), group)

    async def pause(self, queue: str, paused: bool) -> bool:
        self._guard.whole(NEEDS["pause"], queue)
        with self._names:
            return await self._store.pause(self._names.stored(queue), paused)

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        self._guard.items(NEEDS["pause_type"], [(queue, type)])
        with self._names:
            return await self._store.pause_type(self._names.stored(queue), type, paused)

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        self._guard.whole(NEEDS["remove_queue"], queue)
        with self._names:
            await self._store.remove_queue(self._names.stored(queue), force=force, progress=progress)

    # --- servers, schedulers, schedules -----------------------------------------------------------

    async def servers(self) -> list[ServerInfo]:
        self._guard.anywhere("servers")
        with self._names:
            found = await self._store.servers()
        shown = (shown_server(self._names, self._guard, info) for info in found)
        return [info for info in shown if info is not None]

    async def schedulers(self) -> list[SchedulerInfo]:
        self._guard.anywhere("schedulers")
        with self._names:
            found = await self._store.schedulers()
        shown = (shown_scheduler(self._names, self._guard, info) for info in found)
        return [info for info in shown if info is not None]

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        self._guard.queues("schedule_states", [queue])
        with self._names:
            found = await self._store.schedule_states(self._names.stored(queue))
        return {self._names.shown(id): state for id, state in found.items() if self._names.owns(id)}

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        self._guard.queues("pause_schedule", [queue])
        with self._names:
            return await self._store.pause_schedule(self._names.stored(queue), self._names.stored(id), paused)

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        self._guard.anywhere("fires")
        with self._names:
            found = await self._store.fires(self._names.stored(schedule_id), page)
        return [FireEvent(schedule_id, event.task_id, event.at) for event in found]

    # --- documents, logs, the store itself: never within a tenant ---------------------------------

    async def collection(self, name: str, known: int = 0) -> Collection | None:
        self._manage("collection")
        return await self._store.collection(name, known)

    async def put_document(
        self, collection: str, name: str, data: bytes | None, *, known: int | None = None
    ) -> int | None:
        self._manage("put_document")
        return await self._store.put_document(collection, name, data, known=known)

    async def append_log(self, log: str, entries: Sequence[bytes], *, keep: int, age: float) -> None:
        self._manage("append_log")
        await self._store.append_log(log, entries, keep=keep, age=age)

    async def read_log(self, log: str, *, before: int | None = None, limit: int = 100) -> list[LogEntry]:
        self._manage("read_log")
        return await self._store.read_log(log, before=before, limit=limit)

    async def nodes(self) -> list[StoreNode]:
        """Empty without the permission to read it, as the contract allows."""
        return await self._store.nodes() if self._manages("nodes") else []

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        self._manage("examine")
        return await self._store.examine(fix=fix, progress=progress)

    def _manages(self, method: str) -> bool:
        return not self._scope.prefix and self._guard.manages(NEEDS[method])

    def _manage(self, method: str) -> None:
        if not self._manages(method):
            raise AccessDenied(NEEDS[method][0], None, None)
