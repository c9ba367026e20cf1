"""Inspector: looks at queues, tasks and servers, and acts on them. Every verb works on all brokers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Self

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.config import store_of
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.explain.explain import explain
from asynqio.core.explain.model import Explanation
from asynqio.core.filters import Filter
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.options import check_name
from asynqio.errors import TaskNotFound, WrongState
from asynqio.inspector import bulk
from asynqio.inspector.bulk import Applied
from asynqio.inspector.schedules import ScheduleInspector
from asynqio.inspector.task_facts import facts_about, queues_with


def _silent(progress: Applied) -> None:
    return None


class Inspector(ScheduleInspector):
    """For people and for tools. Raises QueueNotFound where a queue is named that does not exist."""

    def __init__(self, broker: str | Store | None = None) -> None:
        self.broker, self._owned = store_of(broker)

    async def __aenter__(self) -> Self:
        if self._owned:
            await self.broker.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._owned:
            await self.broker.__aexit__(*exc)

    # --- look -------------------------------------------------------------------------------------

    async def queues(self) -> list[QueueStats]:
        """The figures of all queues, by name."""
        return await self.broker.stats(await self.broker.queues())

    async def queue(self, name: str) -> QueueStats:
        [stats] = await self.broker.stats([name])
        return stats

    async def history(self, queue: str, days: int = 7) -> list[DayStats]:
        """The last days, today first."""
        return await self.broker.history(queue, days)

    async def groups(self, queue: str) -> list[GroupStats]:
        return await self.broker.groups(queue)

    async def flush_group(self, queue: str, group: str) -> int:
        """Have a group aggregated at once, whatever its rule; how many members it has. It takes a server with an
        aggregate function for it."""
        return await self.broker.flush_group(queue, group)

    async def tasks(
        self, queue: str, state: TaskState, *, group: str = "", size: int = 30, offset: int = 0
    ) -> list[TaskInfo]:
        """A page of the tasks in one state (order: see `Inspection.tasks`)."""
        return await self.broker.tasks(Where(queue, TaskState(state), group), Page(size, offset))

    async def search(
        self,
        queue: str,
        state: TaskState,
        filter: Filter | None = None,
        *,
        group: str = "",
        limit: int | None = None,
        on_progress: Callable[[Applied], object] | None = None,
    ) -> AsyncGenerator[TaskInfo]:
        """The tasks of a state that match, at most `limit`; of all of them, without a filter.

        However long it takes and whatever goes on meanwhile: whoever stays in the state is found, and nobody
        twice who does not leave it. `on_progress` is told every 200 tasks how many were seen and matched.
        """
        where = Where(queue, TaskState(state), group)
        told = on_progress or _silent
        found = bulk.search(self.broker, self.broker.clock, where, filter or Filter(), limit, told)
        async with contextlib.aclosing(found):
            async for info in found:
                yield info

    async def task(self, queue: str, id: str) -> TaskInfo:
        """Raises TaskNotFound."""
        [info] = await self.broker.find([TaskRef(queue, id)])
        if info is None:
            raise TaskNotFound(queue, id)
        return info

    async def attempts(self, queue: str, id: str) -> list[AttemptRecord]:
        """The last attempts at a task, oldest first; one that goes on is RUNNING and comes last. Attempts by Go's
        servers leave no record. Raises TaskNotFound: what is done and not kept has none either."""
        [found] = await self.broker.attempts([TaskRef(queue, id)])
        if not found:
            await self.task(queue, id)
        return found

    async def explain(self, queue: str, id: str) -> Explanation:
        """What happened to a task, why it is where it is, what happens next and when, and what would change that;
        also of a task that is not there (`state` None)."""
        return explain(await facts_about(self.broker, TaskRef(queue, id)))

    async def queues_with(self, id: str) -> list[str]:
        """The queues that have a task of this id, by name."""
        return await queues_with(self.broker, id)

    async def find(self, queue: str, ids: Sequence[str]) -> list[TaskInfo | None]:
        """Several tasks by their ids, in their order; None for those that are not there."""
        return await self.broker.find([TaskRef(queue, id) for id in ids])

    async def servers(self) -> list[ServerInfo]:
        """The worker servers that showed a sign of life lately."""
        return await self.broker.servers()

    async def nodes(self) -> list[StoreNode]:
        """The servers, or the file, of which the store is made, as they say themselves."""
        return await self.broker.nodes()

    # --- act --------------------------------------------------------------------------------------

    async def run(self, queue: str, id: str) -> None:
        """Make a waiting, archived or completed task pending now. Raises TaskNotFound, WrongState."""
        await self._act(Action.RUN, queue, id)

    async def archive(self, queue: str, id: str) -> None:
        """Raises TaskNotFound, WrongState."""
        await self._act(Action.ARCHIVE, queue, id)

    async def delete(self, queue: str, id: str) -> None:
        """Raises TaskNotFound, WrongState (it is running)."""
        await self._act(Action.DELETE, queue, id)

    async def move(self, action: Action, queue: str, ids: Sequence[str]) -> list[Moved]:
        """Run, archive or delete several tasks; one answer for each, in their order."""
        return await self.broker.move(action, [TaskRef(queue, id) for id in ids])

    async def apply(
        self,
        action: Action | TransferTo,
        queue: str,
        state: TaskState,
        filter: Filter | None = None,
        *,
        group: str = "",
        limit: int | None = None,
        on_progress: Callable[[Applied], object] | None = None,
    ) -> Applied:
        """Run, archive, delete or move to another queue every task of a state, or those that match, at most `limit`.

        In small steps, each told to `on_progress`; cut off, it leaves done what was done. Raises InvalidName.
        """
        if isinstance(action, TransferTo):
            check_name("queue", action.queue)
        where = Where(queue, TaskState(state), group)
        if isinstance(action, Action) and filter is None and limit is None and on_progress is None:
            moved = await self.broker.move_all(action, where)
            return Applied(moved, moved, moved)
        told = on_progress or _silent
        return await bulk.apply(
            self.broker, self.broker.clock, action, where, filter or Filter(), limit, told
        )

    async def rewrite(self, queue: str, id: str, payload: bytes) -> None:
        """Another payload for a task that waits. Raises TaskNotFound, WrongState."""
        [answer] = await self.broker.rewrite({TaskRef(queue, id): payload})
        await self._check(answer, "rewritten", queue, id)

    async def move_to(self, queue: str, ids: Sequence[str], target: str) -> list[Moved]:
        """Put tasks that wait (PENDING, SCHEDULED, RETRY, ARCHIVED) into another queue, as they are; one answer per
        id. DUPLICATE, ID_CONFLICT: the other queue has such a task already. Raises InvalidName."""
        check_name("queue", target)
        return await self.broker.transfer([TaskRef(queue, id) for id in ids], target)

    async def cancel(self, queue: str, ids: Sequence[str], *, archive: bool = False) -> None:
        """Tell whoever runs these tasks to stop. They count as failed and are retried; `archive`: they are archived,
        unless the handler finishes all the same or raises RevokeTask. What is not running is not touched; a server of
        Go's only stops."""
        await self.broker.cancel([TaskRef(queue, id) for id in ids], archive=archive)

    async def pause(self, queue: str) -> bool:
        """Hand out no more tasks of this queue. False: it was paused already."""
        return await self.broker.pause(queue, True)

    async def resume(self, queue: str) -> bool:
        """False: it was not paused."""
        return await self.broker.pause(queue, False)

    async def pause_type(self, queue: str, type: str) -> bool:
        """Run no more tasks of this type of this queue: servers put them off, uncounted, until it is resumed, and
        other types go on. Go's servers know nothing of it. False: it was paused already. Raises InvalidName."""
        check_name("queue", queue)
        check_name("type", type)
        return await self.broker.pause_type(queue, type, True)

    async def resume_type(self, queue: str, type: str) -> bool:
        """Its tasks run again, those that were put off within a quarter of the time that the pause lasted (from 5
        seconds to 5 minutes). False: it was not paused."""
        return await self.broker.pause_type(queue, type, False)

    async def paused_types(self, queue: str) -> dict[str, float]:
        """The types that are paused in a queue, and since when."""
        return (await self.broker.paused_types([queue])).get(queue, {})

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        """Remove a queue with everything in it. In steps; `progress` is called with the number of tasks that are
        gone. Raises WrongState."""
        await self.broker.remove_queue(queue, force=force, progress=progress)

    async def doctor(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        """What is wrong with the store, the queues and the servers, the worst first. `fix`: what can be repaired
        without deciding anything for you is. Looks at every task, in steps; `progress` is called with how many."""
        from asynqio.inspector.doctor import diagnose

        return await diagnose(self.broker, fix=fix, progress=progress)

    async def _act(self, action: Action, queue: str, id: str) -> None:
        [answer] = await self.broker.move(action, [TaskRef(queue, id)])
        await self._check(answer, f"{action.value} is", queue, id)

    async def _check(self, answer: Moved, verb: str, queue: str, id: str) -> None:
        if answer is Moved.NOT_FOUND:
            raise TaskNotFound(queue, id)
        if answer is Moved.WRONG_STATE:
            info = await self.task(queue, id)
            raise WrongState(f"task {id!r} of queue {queue!r} is {info.state}: {verb} not possible now")

    def __repr__(self) -> str:
        return f"Inspector({self.broker.url!r})"
