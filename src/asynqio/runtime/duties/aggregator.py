"""Merges each ripe group into one task."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Mapping, Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.contract.signals import grouped
from asynqio.core.explain.humanize import moment
from asynqio.core.groups import CLAIM_EXPIRED, GroupBatch, GroupRule, GroupRules, failed_again, match
from asynqio.core.lifecycle import error_text
from asynqio.core.task.options import merge
from asynqio.core.task.task import Entry, Task, make_entry
from asynqio.errors import BrokerError, CannotStore
from asynqio.runtime.attempts.exits import guarded
from asynqio.runtime.duties.aggregation import Aggregate, Aggregation
from asynqio.runtime.duties.claims import Claims
from asynqio.runtime.lanes.threads import Threads
from asynqio.runtime.service import WatchingService

log = logging.getLogger("asynqio.server")

#: Batches that are aggregated at the same time.
CONCURRENCY = 10
#: Seconds in which signals are collected: a busy group does not cause a call per member.
COLLECT = 0.02
#: Seconds until a merge that the store did not accept is sent again.
SEND_AGAIN = 1.0


class Aggregator(WatchingService):
    """Claims groups when they are ripe, and aggregates several at the same time. Claims are renewed while a function
    runs (`claims`). When a function raises, its batch returns to the group, which is tried again after a delay."""

    name = "aggregator"

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        default: GroupRule,
        aggregations: Mapping[str, Aggregation],
        threads: Threads,
        claims: Claims,
        *,
        max_failures: int,
    ) -> None:
        super().__init__(broker, [grouped(queue) for queue in queues])
        self._queues = queues
        #: When groups are ripe, by pattern.
        self.rules = {pattern: one.rule(default) for pattern, one in aggregations.items()}
        self._policy = GroupRules(self.rules)
        self._aggregations = aggregations
        self._threads = threads
        self._claims = claims
        self._max_failures = max_failures
        #: Batches that were not merged, for any reason.
        self.failed = 0

    async def once(self) -> float:
        self.watch.clear()
        free = CONCURRENCY - len(self._claims)
        if not free:
            return self.poll  # the end of a batch wakes it
        batches, next_at = await self._broker.claim_groups(self._queues, self._policy, free)
        for batch in batches:
            task = asyncio.create_task(self._aggregate(batch), name=f"asynqio group {batch.group}")
            self._claims.add(batch, task)
            task.add_done_callback(functools.partial(self._ended, batch))
        return self.poll if len(batches) == free else self.until(next_at)

    async def rest(self, seconds: float) -> None:
        if await self.watch.wait(seconds):
            await asyncio.sleep(COLLECT)

    async def drain(self) -> None:
        """Wait for the aggregations that run."""
        await self._claims.wait()

    async def close(self) -> None:
        """Stop the functions that run and return their batches."""
        await self._claims.cancel()
        self.watch.close()

    def _ended(self, batch: GroupBatch, task: asyncio.Task[None]) -> None:
        self._claims.remove(batch)
        self.watch.notify()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "group %r of queue %r: aggregation stopped: %s",
                batch.group,
                batch.queue,
                error,
                exc_info=error,
                extra={
                    "event": "aggregation_stopped",
                    "queue": batch.queue,
                    "group": batch.group,
                    "error": str(error),
                },
            )

    async def _aggregate(self, batch: GroupBatch) -> None:
        self.failed += 1
        try:
            if await self._merged(batch):
                self.failed -= 1
        except asyncio.CancelledError:
            if not self._claims.is_lost(batch):
                await self._broker.return_batch(batch)
            else:
                self._report_lost(batch)
            raise

    async def _merged(self, batch: GroupBatch) -> bool:
        """Whether the batch became a task."""
        members = [Task.received(message) for message in batch.messages]
        before = batch.failure
        if before is not None and before.error == CLAIM_EXPIRED and 0 < self._max_failures <= before.failures:
            await self._fail(batch, before.error)  # no server that ran the function survived
            return False
        try:
            merged = await self._call(batch.group, members)
            if not isinstance(merged, Task):
                raise TypeError(f"the aggregate function returned {merged!r}, not a Task")
            options = merge(merged.options, {"queue": batch.queue})
            entry = make_entry(merged, options, self._broker.clock.now())
            self._broker.check(entry)
            answer = await self._send(batch, entry)
        except Exception as error:
            await self._fail(batch, error_text(error), error)
            return False
        if answer is None:
            self._report_lost(batch)
            return False
        if isinstance(answer, Admission) and answer is not Admission.ACCEPTED:
            await self._refused(batch, answer)
            return False
        return True

    async def _send(self, batch: GroupBatch, entry: Entry) -> object:
        """Merge the batch. Repeats the call until the store answers: the claim is renewed meanwhile. Raises
        CannotStore."""
        self._claims.finish(batch)
        while True:
            try:
                return await self._broker.merge_group(batch, entry)
            except CannotStore:
                raise
            except BrokerError as error:
                log.warning(
                    "group %r of queue %r could not be merged: %s; retrying in %.0f s",
                    batch.group,
                    batch.queue,
                    error,
                    SEND_AGAIN,
                    extra={
                        "event": "merge_deferred",
                        "queue": batch.queue,
                        "group": batch.group,
                        "error": str(error),
                        "retry_in": SEND_AGAIN,
                    },
                )
            await asyncio.sleep(SEND_AGAIN)

    async def _call(self, group: str, members: Sequence[Task]) -> object:
        pattern = match(self._aggregations, group)
        assert pattern is not None, "a group without a function is not claimed"
        one = self._aggregations[pattern]
        aggregate: Aggregate = one.function
        try:
            async with asyncio.timeout(one.seconds):
                if inspect.iscoroutinefunction(aggregate):
                    return await guarded(aggregate(group, members))
                answer = await self._threads.run(aggregate, group, members)
                return await guarded(answer) if inspect.isawaitable(answer) else answer
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RuntimeError("the aggregate function was cancelled by itself") from error

    # --- failures ---------------------------------------------------------------------------------

    async def _fail(self, batch: GroupBatch, text: str, error: Exception | None = None) -> None:
        """Return the batch to its group, or archive its members if the group failed too often."""
        self._claims.finish(batch)
        now = self._broker.clock.now()
        failure = failed_again(batch.failure, text, now, batch.oldest_at)
        if error is None and batch.failure is not None:
            failure = batch.failure
        fields = {
            "queue": batch.queue,
            "group": batch.group,
            "count": len(batch.messages),
            "error": text,
            "failures": failure.failures,
        }
        if 0 < self._max_failures <= failure.failures:
            text = f"aggregation failed {failure.failures} times in a row. Last: {text}"
            archived = await self._broker.return_batch(
                batch, failed_again(batch.failure, text, now, batch.oldest_at), archive=True
            )
            if archived:
                log.error(
                    "group %r of queue %r failed %d times in a row: its %d tasks were archived: %s",
                    batch.group,
                    batch.queue,
                    failure.failures,
                    len(batch.messages),
                    failure.error,
                    exc_info=error,
                    extra={"event": "aggregation_archived", **fields},
                )
        else:
            archived = await self._broker.return_batch(batch, failure)
            if archived:
                retry_in = failure.retry_at - now
                log.error(
                    "group %r of queue %r (%d tasks) could not be aggregated (failure %d of %s); "
                    "it is tried again in %.0f s, at %s: %s",
                    batch.group,
                    batch.queue,
                    len(batch.messages),
                    failure.failures,
                    self._max_failures or "any number",
                    retry_in,
                    moment(failure.retry_at, now),
                    text,
                    exc_info=error,
                    extra={
                        "event": "aggregation_failed",
                        **fields,
                        "retry_in": round(retry_in, 3),
                        "retry_at": failure.retry_at,
                    },
                )
        if not archived:
            self._report_lost(batch)

    async def _refused(self, batch: GroupBatch, answer: Admission) -> None:
        """Return the batch to its group: what refuses the merged task may pass, so the members are never archived."""
        now = self._broker.clock.now()
        text = f"the merged task was refused: {answer.name}"
        failure = failed_again(batch.failure, text, now, batch.oldest_at)
        await self._broker.return_batch(batch, failure)
        log.warning(
            "group %r of queue %r: the merged task was refused: %s; it is tried again in %.0f s, at %s",
            batch.group,
            batch.queue,
            answer.name,
            failure.retry_at - now,
            moment(failure.retry_at, now),
            extra={
                "event": "aggregation_refused",
                "queue": batch.queue,
                "group": batch.group,
                "error": answer.name,
                "failures": failure.failures,
                "retry_in": round(failure.retry_at - now, 3),
                "retry_at": failure.retry_at,
            },
        )

    def _report_lost(self, batch: GroupBatch) -> None:
        log.warning(
            "group %r of queue %r: the claim expired during the aggregation; its tasks were returned to the group",
            batch.group,
            batch.queue,
            extra={"event": "aggregation_expired", "queue": batch.queue, "group": batch.group},
        )
