"""Inspector: inspects queues, tasks, servers and schedules, and acts on them, on every broker."""

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
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.core.task.naming import AnyTask, ref_of, refs_of
from asynqio.core.task.options import check_name
from asynqio.inspector import bulk
from asynqio.inspector.bulk import Applied
from asynqio.inspector.schedules import ScheduleInspector
from asynqio.inspector.task_facts import facts_about, queues_with
from asynqio.task_actions import CancelOutcome, act_on_one, cancel_all, cancel_one, check_answer, find_one


class Inspector(ScheduleInspector):
    """Inspects a store and acts on it, for tools and scripts.

        async with Inspector("redis://localhost:6379") as inspector:
            print(await inspector.queues())

    `task` is an id, a TaskHandle or a TaskInfo; `queue=` is the queue of an id. Methods that take a queue raise
    QueueNotFound if it does not exist. All raise BrokerUnavailable. The schedule methods are a base class, not an
    attribute: each verb is a method of the one Inspector.
    """

    def __init__(self, broker: str | Store | None = None) -> None:
        """`broker`: a URL (default: `ASYNQIO_BROKER`), or a broker that you open and close."""
        self.broker, self._owned = store_of(broker)

    async def __aenter__(self) -> Self:
        if self._owned:
            await self.broker.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._owned:
            await self.broker.__aexit__(*exc)

    # --- inspect -------------------------------------------------------------------------------------

    async def queues(self) -> list[QueueStats]:
        """The stats of all queues, sorted by name."""
        return await self.broker.stats(await self.broker.queues())

    async def queue(self, name: str) -> QueueStats:
        """The stats of one queue."""
        [stats] = await self.broker.stats([name])
        return stats

    async def history(self, queue: str, days: int = 7) -> list[DayStats]:
        """The counters of the last `days` days, today first."""
        return await self.broker.history(queue, days)

    async def groups(self, queue: str) -> list[GroupStats]:
        """The groups of a queue that hold tasks."""
        return await self.broker.groups(queue)

    async def flush_group(self, queue: str, group: str) -> int:
        """Aggregate a group now, whatever its rule; the number of its members. A server with an aggregate function
        for the group does the work."""
        return await self.broker.flush_group(queue, group)

    async def tasks(
        self, queue: str, state: TaskState, *, group: str = "", size: int = 30, offset: int = 0
    ) -> list[TaskInfo]:
        """A page of the tasks in one state: `size` tasks from number `offset` on. PENDING and ACTIVE in working
        order, SCHEDULED and RETRY earliest first, COMPLETED and ARCHIVED latest first, AGGREGATING oldest first."""
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
        """Yield the tasks of a state that match the filter (default: all), at most `limit`.

        A task that stays in the state during the search is found exactly once, whatever other tasks do.
        `on_progress` is called with the numbers of tasks seen and matched, once for 200 tasks.
        """
        where = Where(queue, TaskState(state), group)
        report = on_progress or bulk.ignore_progress
        found = bulk.search(self.broker, self.broker.clock, where, filter or Filter(), limit, report)
        async with contextlib.aclosing(found):
            async for info in found:
                yield info

    async def find(self, task: AnyTask, *, queue: str = "default") -> TaskInfo:
        """The present state of a task. Raises TaskNotFound."""
        return await find_one(self.broker, ref_of(task, queue))

    async def find_many(self, tasks: Sequence[AnyTask], *, queue: str = "default") -> list[TaskInfo | None]:
        """Several tasks, in their order; None for each that does not exist."""
        return await self.broker.find(refs_of(tasks, queue))

    async def attempts(self, task: AnyTask, *, queue: str = "default") -> list[AttemptRecord]:
        """The last attempts at a task, oldest first; one that runs comes last, as RUNNING. Attempts by Go servers
        leave no record. Raises TaskNotFound: a task that is done and not kept has no attempts either."""
        ref = ref_of(task, queue)
        [found] = await self.broker.attempts([ref])
        if not found:
            await find_one(self.broker, ref)
        return found

    async def explain(self, task: AnyTask, *, queue: str = "default") -> Explanation:
        """What happened to a task, why it is in its state, what happens next and when, and what would change that.
        Also for a task that does not exist (`state` is None)."""
        return explain(await facts_about(self.broker, ref_of(task, queue)))

    async def queues_with(self, id: str) -> list[str]:
        """The queues that have a task of this id, by name."""
        return await queues_with(self.broker, id)

    async def servers(self) -> list[ServerInfo]:
        """The live worker servers: those with a recent heartbeat."""
        return await self.broker.servers()

    async def nodes(self) -> list[StoreNode]:
        """The servers or the file that the store consists of, with what they report."""
        return await self.broker.nodes()

    # --- act --------------------------------------------------------------------------------------

    async def run(self, task: AnyTask, *, queue: str = "default") -> None:
        """Make a waiting, archived or completed task pending now. Raises TaskNotFound, WrongState."""
        await act_on_one(self.broker, Action.RUN, ref_of(task, queue))

    async def archive(self, task: AnyTask, *, queue: str = "default") -> None:
        """Archive a task that does not run. Raises TaskNotFound, WrongState."""
        await act_on_one(self.broker, Action.ARCHIVE, ref_of(task, queue))

    async def delete(self, task: AnyTask, *, queue: str = "default") -> None:
        """Delete a task that does not run, in any state. Raises TaskNotFound, WrongState."""
        await act_on_one(self.broker, Action.DELETE, ref_of(task, queue))

    async def act(self, action: Action, tasks: Sequence[AnyTask], *, queue: str = "default") -> list[Moved]:
        """Run, archive or delete several tasks; one answer per task, in their order."""
        return await self.broker.move(action, refs_of(tasks, queue))

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
        """Run, archive, delete or transfer (`TransferTo`) the tasks of a state that match the filter (default: all).

        Acts on at most `limit` tasks, and returns the numbers of tasks seen, matched and done.

        Works in small steps and calls `on_progress` after each. If it is interrupted, the steps so far stay done.
        Raises InvalidName.
        """
        if isinstance(action, TransferTo):
            check_name("queue", action.queue)
        where = Where(queue, TaskState(state), group)
        if isinstance(action, Action) and filter is None and limit is None and on_progress is None:
            moved = await self.broker.move_all(action, where)
            return Applied(moved, moved, moved)
        report = on_progress or bulk.ignore_progress
        return await bulk.apply(
            self.broker, self.broker.clock, action, where, filter or Filter(), limit, report
        )

    async def rewrite(self, task: AnyTask, payload: bytes, *, queue: str = "default") -> None:
        """Replace the payload of a task that waits. Raises TaskNotFound, WrongState."""
        ref = ref_of(task, queue)
        [answer] = await self.broker.rewrite({ref: payload})
        await check_answer(self.broker, answer, "rewriting is", ref)

    async def transfer(self, tasks: Sequence[AnyTask], target: str, *, queue: str = "default") -> list[Moved]:
        """Transfer tasks that wait (PENDING, SCHEDULED, RETRY, ARCHIVED) to the queue `target`, unchanged; one
        answer per task. DUPLICATE, ID_CONFLICT: the target has such a task already. Raises InvalidName."""
        check_name("queue", target)
        return await self.broker.transfer(refs_of(tasks, queue), target)

    async def cancel(self, task: AnyTask, *, queue: str = "default", final: bool = False) -> CancelOutcome:
        """Delete a task that waits, or stop one that runs; the answer says which. See `Client.cancel`. Raises
        TaskNotFound, WrongState."""
        return await cancel_one(self.broker, ref_of(task, queue), final=final)

    async def cancel_many(
        self, tasks: Sequence[AnyTask], *, queue: str = "default", final: bool = False
    ) -> list[CancelOutcome]:
        """The same for several tasks; one answer per task, in their order, NOT_FOUND and WRONG_STATE included."""
        return await cancel_all(self.broker, refs_of(tasks, queue), final=final)

    async def pause(self, queue: str) -> bool:
        """Pause a queue: no server takes tasks of it, Go servers included. False: it was paused already."""
        return await self.broker.pause(queue, True)

    async def resume(self, queue: str) -> bool:
        """Resume a paused queue. False: it was not paused."""
        return await self.broker.pause(queue, False)

    async def pause_type(self, queue: str, type: str) -> bool:
        """Pause one task type of a queue: servers defer its tasks, uncounted, until it is resumed; other types run.
        Go servers ignore it. False: it was paused already. Raises InvalidName."""
        check_name("queue", queue)
        check_name("type", type)
        return await self.broker.pause_type(queue, type, True)

    async def resume_type(self, queue: str, type: str) -> bool:
        """Resume a task type. Deferred tasks run within a quarter of the time that the pause lasted (at least 5
        seconds, at most 5 minutes). False: it was not paused."""
        return await self.broker.pause_type(queue, type, False)

    async def paused_types(self, queue: str) -> dict[str, float]:
        """The paused types of a queue, and since when (seconds since the epoch)."""
        return (await self.broker.paused_types([queue])).get(queue, {})

    async def remove_queue(
        self, queue: str, *, force: bool = False, on_progress: Progress | None = None
    ) -> None:
        """Remove a queue and everything in it, in steps; `on_progress` is called with the number of tasks removed so
        far. Raises WrongState if it has active tasks, or any tasks unless `force`."""
        await self.broker.remove_queue(queue, force=force, progress=on_progress)

    async def doctor(self, *, fix: bool = False, on_progress: Progress | None = None) -> list[Finding]:
        """Diagnose the store, the queues and the servers; findings by severity, the worst first. `fix` repairs
        what needs no decision from you. Reads every task, in steps; `on_progress` is called with the number read
        so far."""
        from asynqio.inspector.doctor import diagnose

        return await diagnose(self.broker, fix=fix, progress=on_progress)

    def __repr__(self) -> str:
        return f"Inspector({self.broker.url!r})"
