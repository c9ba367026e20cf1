"""Merges each ripe group into one task."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.contract.signals import grouped
from asynqio.core.groups import GroupBatch, GroupRule, GroupRules, match
from asynqio.core.task.options import merge
from asynqio.core.task.task import Task, make_entry
from asynqio.runtime.attempts.exits import guarded
from asynqio.runtime.duties.aggregation import Aggregate, Aggregation
from asynqio.runtime.lanes.threads import Threads
from asynqio.runtime.service import WatchingService

log = logging.getLogger("asynqio.server")

#: Group batches claimed per call.
BATCH_SIZE = 10


class Aggregator(WatchingService):
    """Claims groups when they are ripe. A batch that cannot be merged returns to its group when its claim expires."""

    name = "aggregator"

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        default: GroupRule,
        aggregations: Mapping[str, Aggregation],
        threads: Threads,
    ) -> None:
        super().__init__(broker, [grouped(queue) for queue in queues])
        self._queues = queues
        #: When groups are ripe, by pattern.
        self.rules = {pattern: one.rule(default) for pattern, one in aggregations.items()}
        self._policy = GroupRules(self.rules)
        self._functions = {pattern: one.function for pattern, one in aggregations.items()}
        self._threads = threads
        #: Batches that were not merged, for any reason.
        self.failed = 0

    async def once(self) -> float:
        self.watch.clear()
        batches, next_at = await self._broker.claim_groups(self._queues, self._policy, BATCH_SIZE)
        for batch in batches:
            await self._merge(batch)
        return 0.0 if len(batches) == BATCH_SIZE else self.until(next_at)

    async def _merge(self, batch: GroupBatch) -> None:
        self.failed += 1
        if await self._merged(batch):
            self.failed -= 1

    async def _merged(self, batch: GroupBatch) -> bool:
        members = [Task.received(message) for message in batch.messages]
        try:
            async with asyncio.timeout(batch.expires_at - self._broker.clock.now()):
                merged = await self._call(batch.group, members)
            if not isinstance(merged, Task):
                raise TypeError(f"the aggregate function returned {merged!r}, not a Task")
            options = merge(merged.options, {"queue": batch.queue})
            entry = make_entry(merged, options, self._broker.clock.now())
        except Exception as error:
            retry_in = batch.expires_at - self._broker.clock.now()
            log.exception(
                "group %r of queue %r (%d tasks) could not be aggregated; retrying in %.0f s",
                batch.group,
                batch.queue,
                len(members),
                retry_in,
                extra={
                    "event": "aggregation_failed",
                    "queue": batch.queue,
                    "group": batch.group,
                    "count": len(members),
                    "error": str(error),
                    "retry_in": round(retry_in, 3),
                },
            )
            return False
        answer = await self._broker.merge_group(batch, entry)
        if answer is None:
            log.warning(
                "group %r of queue %r took too long to aggregate; its tasks were returned to the group",
                batch.group,
                batch.queue,
                extra={"event": "aggregation_expired", "queue": batch.queue, "group": batch.group},
            )
        elif isinstance(answer, Admission) and answer is not Admission.ACCEPTED:
            log.warning(
                "group %r of queue %r: the merged task was refused: %s",
                batch.group,
                batch.queue,
                answer.name,
                extra={
                    "event": "aggregation_refused",
                    "queue": batch.queue,
                    "group": batch.group,
                    "error": answer.name,
                },
            )
        else:
            return True
        return False

    async def _call(self, group: str, members: Sequence[Task]) -> object:
        pattern = match(self._functions, group)
        assert pattern is not None, "a group without a function is not claimed"
        aggregate: Aggregate = self._functions[pattern]
        if inspect.iscoroutinefunction(aggregate):
            return await guarded(aggregate(group, members))
        answer = await self._threads.run(aggregate, group, members)
        return await guarded(answer) if inspect.isawaitable(answer) else answer
