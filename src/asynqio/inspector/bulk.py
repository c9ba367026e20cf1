"""Finding tasks by a filter, and acting on all that were found: in small steps through one state of a queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, TypeAlias

from asynqio.brokers.contract.inspection import Inspection, Scan, Where
from asynqio.brokers.contract.results import Moved
from asynqio.clock import Clock
from asynqio.core.filters import Filter
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState

#: Tasks looked at by one call: nobody else waits long (on Redis about 1 ms).
BATCH_SIZE = 200
#: Tasks found before they are acted on by one call (on Redis about 2 ms; 200 took 4).
ACTED_ON = 100
#: Tasks looked at before those found are acted on, even if they are few: they should still be where they were.
LOOKED_AT = 1_000


class Applied(NamedTuple):
    """How far it is: tasks looked at, tasks that matched, and tasks on which it was acted. What matched and was not
    acted on had gone, or gone on to another state, in between."""

    seen: int = 0
    matched: int = 0
    done: int = 0


Told: TypeAlias = Callable[[Applied], object]


def _silent(progress: Applied) -> None:
    return None


async def places(broker: Inspection, where: Where) -> AsyncGenerator[Where]:
    """`where`, or each group if it means all of them."""
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
    told: Told = _silent,
) -> AsyncGenerator[TaskInfo]:
    """The tasks of a state that match, in the order of `Inspection.tasks`, at most `limit`. Whoever stays in the
    state all the time is found (sentence 19 of the contract)."""
    seen = matched = 0
    if limit is not None and limit < 1:
        return
    async for place in places(broker, where):
        after = ""
        while True:
            infos, after = await broker.scan(place, after, BATCH_SIZE)
            now = clock.now()
            for info in infos:
                seen += 1
                if filter.matches(info, now):
                    matched += 1
                    yield info
                    if matched == limit:
                        told(Applied(seen, matched))
                        return
            told(Applied(seen, matched))
            if not after:
                break


async def apply(
    broker: Inspection,
    clock: Clock,
    action: Action | TransferTo,
    where: Where,
    filter: Filter,
    limit: int | None,
    told: Told = _silent,
) -> Applied:
    """Act on all that match, at most `limit` of them; how many there were. In steps: when it is cut off, what was
    done is done, and each task is wholly in one state."""
    work = _Work(broker, action, where, told)
    if where.state not in action.origins or (limit is not None and limit < 1):
        return work.progress
    async for place in places(broker, where):
        after = ""
        while True:
            step = await broker.scan(place, after, BATCH_SIZE)
            if await work.look(step, after, filter, clock.now(), limit):
                return work.progress
            after = step.after
            if not after:
                break
        await work.flush()
    return work.progress


class _Work:
    """What was seen and matched, and is still to be acted on."""

    def __init__(self, broker: Inspection, action: Action | TransferTo, where: Where, told: Told) -> None:
        self._broker, self._action, self._where, self._told = broker, action, where, told
        self._found: list[TaskRef] = []
        self._looked_at = 0
        #: The place behind which the first of them stood.
        self._near = ""
        self.progress = Applied()

    async def look(self, step: Scan, near: str, filter: Filter, now: float, limit: int | None) -> bool:
        """Take in one step of the walk; whether the limit is reached."""
        seen, matched, done = self.progress
        left = len(step.infos) if limit is None else limit - matched
        fits = [info.ref for info in step.infos if filter.matches(info, now)][:left]
        if fits and not self._found:
            self._near, self._looked_at = near, 0
        self._found += fits
        self._looked_at += BATCH_SIZE
        self.progress = Applied(seen + len(step.infos), matched + len(fits), done)
        full = limit is not None and matched + len(fits) >= limit
        if full or len(self._found) >= ACTED_ON or self._looked_at >= LOOKED_AT:
            await self.flush()
        self._told(self.progress)
        return full

    async def flush(self) -> None:
        """Act on what was found."""
        found, self._found = self._found, []
        for start in range(0, len(found), ACTED_ON):
            some = found[start : start + ACTED_ON]
            answers = await self._act(some)
            done = self.progress.done + answers.count(Moved.DONE)
            self.progress = self.progress._replace(done=done)
            self._told(self.progress)

    async def _act(self, refs: list[TaskRef]) -> list[Moved]:
        if isinstance(self._action, TransferTo):
            return await self._broker.transfer(refs, self._action.queue)
        return await self._broker.move(self._action, refs, state=self._where.state, near=self._near)
