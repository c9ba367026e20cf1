"""Ripe groups become one task (spec: redis wire format, sections 3.7 and 4.9)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from asynqio.brokers.base import Admission, Broker
from asynqio.brokers.signals import grouped
from asynqio.core.groups import GroupBatch, GroupRule
from asynqio.core.options import merge
from asynqio.core.task import Task, make_entry
from asynqio.runtime.service import WatchingService
from asynqio.runtime.threads import Threads

log = logging.getLogger("asynqio.server")

#: Makes one task out of the members of a group, oldest first. May be async; a plain function runs in a thread.
Aggregate: TypeAlias = Callable[[str, Sequence[Task]], Task | Awaitable[Task]]

#: Batches claimed per call.
BATCH = 10


class Aggregator(WatchingService):
    """Claims ripe groups when they are ripe; a batch whose aggregation fails goes back to its group later."""

    name = "aggregator"

    def __init__(
        self, broker: Broker, queues: Sequence[str], rule: GroupRule, aggregate: Aggregate, threads: Threads
    ) -> None:
        super().__init__(broker, [grouped(queue) for queue in queues])
        self._queues = queues
        self._rule = rule
        self._aggregate = aggregate
        self._threads = threads

    async def once(self) -> float:
        self.watch.clear()
        batches, next_at = await self._broker.claim_groups(self._queues, self._rule, BATCH)
        for batch in batches:
            await self._merge(batch)
        return 0.0 if len(batches) == BATCH else self.until(next_at)

    async def _merge(self, batch: GroupBatch) -> None:
        members = [Task.received(message) for message in batch.messages]
        try:
            async with asyncio.timeout(batch.expires_at - self._broker.clock.now()):
                merged = await self._call(batch.group, members)
            if not isinstance(merged, Task):
                raise TypeError(f"the aggregate function returned {merged!r}, not a Task")
            options = merge(merged.options, {"queue": batch.queue})
            entry = make_entry(merged, options, self._broker.clock.now())
        except Exception:
            log.exception(
                "group %r of queue %r (%d tasks) could not be aggregated; it is tried again after %.0f s",
                batch.group,
                batch.queue,
                len(members),
                batch.expires_at - self._broker.clock.now(),
            )
            return
        answer = await self._broker.merge_group(batch, entry)
        if answer is None:
            log.warning(
                "group %r of queue %r took too long to aggregate and was given back", batch.group, batch.queue
            )
        elif isinstance(answer, Admission) and answer is not Admission.ACCEPTED:
            log.warning(
                "group %r of queue %r: the merged task was refused: %s", batch.group, batch.queue, answer.name
            )

    async def _call(self, group: str, members: Sequence[Task]) -> object:
        if inspect.iscoroutinefunction(self._aggregate):
            return await self._aggregate(group, members)
        answer = await self._threads.run(self._aggregate, group, members)
        return await answer if inspect.isawaitable(answer) else answer
