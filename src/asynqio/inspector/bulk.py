"""Find tasks by a filter and act on them, in small steps through one state of a queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, TypeAlias

from asynqio.brokers.contract.inspection import Inspection, Scan, Where
from asynqio.brokers.contract.results import Moved
from asynqio.clock import Clock
from asynqio.core.filters import Filter
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState

#: Tasks read by one call: it blocks a Redis server for about 1 ms.
SCAN_SIZE = 200
#: Tasks acted on by one call: it blocks a Redis server for about 2 ms (200 took 4).
ACTION_SIZE = 100
#: Tasks read before the matching ones are acted on, however few: they should still be in their state.
MAX_SCANNED = 1_000


class Applied(NamedTuple):
    """Progress of a search or a bulk action: the numbers of tasks seen, matched, and done. A task that matched and
    was not done had left the state in between."""

    seen: int = 0
    matched: int = 0
    done: int = 0


#: Called after each step.
OnProgress: TypeAlias = Callable[[Applied], object]


def ignore_progress(progress: Applied) -> None:
    """Report nothing."""


async def places(broker: Inspection, where: Where) -> AsyncGenerator[Where]:
    """`where`, or one for each group if it names none."""
    if where.state is not TaskState.AGGREGATING or where.group:
        yield where
        return
    for group in await broker.group_names(where.queue):
        yield Where(where.queue, where.state, group)


async def search(
    broker: Inspection,
    clock: Clock,
    where: Where,
    filter: Filter,
    limit: int | None,
    report: OnProgress = ignore_progress,
) -> AsyncGenerator[TaskInfo]:
    """Yield the tasks of a state that match, in the order of `Inspection.tasks`, at most `limit`. A task that stays
    in the state during the search is found (sentence 19 of the contract)."""
    seen = matched = 0
    if limit is not None and limit < 1:
        return
    async for place in places(broker, where):
        after = ""
        while True:
            infos, after = await broker.scan(place, after, SCAN_SIZE)
            now = clock.now()
            for info in infos:
                seen += 1
                if filter.matches(info, now):
                    matched += 1
                    yield info
                    if matched == limit:
                        report(Applied(seen, matched))
                        return
            report(Applied(seen, matched))
            if not after:
                break


async def apply(
    broker: Inspection,
    clock: Clock,
    action: Action | TransferTo,
    where: Where,
    filter: Filter,
    limit: int | None,
    report: OnProgress = ignore_progress,
) -> Applied:
    """Act on all tasks that match, at most `limit`, in steps. If it is interrupted, the steps so far stay done, and
    each task is in exactly one state."""
    work = _Work(broker, action, where, report)
    if where.state not in action.origins or (limit is not None and limit < 1):
        return work.progress
    async for place in places(broker, where):
        after = ""
        while True:
            step = await broker.scan(place, after, SCAN_SIZE)
            if await work.take(step, after, filter, clock.now(), limit):
                return work.progress
            after = step.after
            if not after:
                break
        await work.flush()
    return work.progress


class _Work:
    """Tasks that matched and are not acted on yet."""

    def __init__(
        self, broker: Inspection, action: Action | TransferTo, where: Where, report: OnProgress
    ) -> None:
        self._broker, self._action, self._where, self._report = broker, action, where, report
        self._found: list[TaskRef] = []
        self._scanned = 0
        #: The cursor before the first of them.
        self._near = ""
        self.progress = Applied()

    async def take(self, step: Scan, near: str, filter: Filter, now: float, limit: int | None) -> bool:
        """Take one step of the scan; True if the limit is reached."""
        seen, matched, done = self.progress
        left = len(step.infos) if limit is None else limit - matched
        fits = [info.ref for info in step.infos if filter.matches(info, now)][:left]
        if fits and not self._found:
            self._near, self._scanned = near, 0
        self._found += fits
        self._scanned += SCAN_SIZE
        self.progress = Applied(seen + len(step.infos), matched + len(fits), done)
        full = limit is not None and matched + len(fits) >= limit
        if full or len(self._found) >= ACTION_SIZE or self._scanned >= MAX_SCANNED:
            await self.flush()
        self._report(self.progress)
        return full

    async def flush(self) -> None:
        """Act on the tasks found so far."""
        found, self._found = self._found, []
        for start in range(0, len(found), ACTION_SIZE):
            some = found[start : start + ACTION_SIZE]
            answers = await self._act(some)
            done = self.progress.done + answers.count(Moved.DONE)
            self.progress = self.progress._replace(done=done)
            self._report(self.progress)

    async def _act(self, refs: list[TaskRef]) -> list[Moved]:
        if isinstance(self._action, TransferTo):
            return await self._broker.transfer(refs, self._action.queue)
        return await self._broker.move(self._action, refs, state=self._where.state, near=self._near)
