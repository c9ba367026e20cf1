"""Sends the settlements of all attempts to the broker in batches, and repeats them until it has answered."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from asynqio.brokers.contract.broker import Broker
from asynqio.core.attempts.ending import Ending
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.events import AttemptEnded, Events
from asynqio.runtime.service import BACKOFF_CAP, FIRST_BACKOFF

log = logging.getLogger("asynqio.server")

#: Settlements per call. One call settles everything that ended while the previous one was in flight.
BATCH_SIZE = 1_000


class Settler:
    """Collects settlements and applies them, in order, one call at a time.

    While the broker is unavailable they wait here, in one backlog per queue, because a cluster may have lost the
    masters of some queues only. Their leases are still renewed (`outstanding`). Brokers fence by token, so a late
    repetition is safe: it is accepted, or refused because another server has the task by now. The fetcher stops while
    too many wait (`congested`).
    """

    def __init__(self, broker: Broker, high_water: int, events: Events | None = None) -> None:
        self._broker = broker
        self._high_water = high_water
        self._events = events or Events()
        #: Events to publish once the broker has answered, by the identity of the settlement.
        self._endings: dict[int, AttemptEnded] = {}
        self._queue: list[Settlement] = []
        self._in_flight: list[Settlement] = []
        #: Settlements that could not be stored yet, by queue, and the tasks that retry them.
        self._backlogs: dict[str, list[Settlement]] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        #: Settlements that were refused because the lease was lost.
        self.refused = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="asynqio settler")

    def add(self, settlement: Settlement, ended: AttemptEnded | None = None) -> None:
        """Queue a settlement. `ended` is published once the broker has answered."""
        self._queue.append(settlement)
        if ended is not None:
            self._endings[id(settlement)] = ended
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def congested(self) -> bool:
        backlog = sum(map(len, self._backlogs.values())) if self._backlogs else 0
        return len(self._queue) + len(self._in_flight) + backlog >= self._high_water

    def outstanding(self) -> list[Lease]:
        """The leases that are not settled yet. Safe to call from any thread."""
        waiting = [settlement for backlog in list(self._backlogs.values()) for settlement in list(backlog)]
        return [settlement.lease for settlement in (*self._in_flight, *self._queue, *waiting)]

    async def drain(self) -> None:
        """Wait until everything is settled."""
        if self._queue:
            self._idle.clear()
        await self._idle.wait()

    async def stop(self, timeout: float) -> None:
        """Settle what is left, for at most `timeout` seconds, and stop."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.drain()
        except TimeoutError:
            count = len(self.outstanding())
            log.error(
                "%d settlements could not be stored: these tasks run again when their leases lapse",
                count,
                extra={"event": "settlements_lost", "count": count},
            )
            self._publish_unrecorded()
        ending = [self._task, *self._retries]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue:
                self._waiter = loop.create_future()
                self._set_idle()
                await self._waiter
                self._waiter = None
                self._idle.clear()
            self._in_flight, self._queue = self._queue[:BATCH_SIZE], self._queue[BATCH_SIZE:]
            if self._backlogs:
                self._in_flight = [one for one in self._in_flight if not self._joins_backlog(one)]
            if self._in_flight:
                await self._flush(self._in_flight)
            self._in_flight = []

    def _set_idle(self) -> None:
        """Wake `drain` if everything is settled."""
        if not self._backlogs and not self._queue and self._waiter is not None and not self._waiter.done():
            self._idle.set()

    def _joins_backlog(self, settlement: Settlement) -> bool:
        """Add the settlement to the backlog of its queue. False if the queue has none."""
        backlog = self._backlogs.get(settlement.lease.message.queue)
        if backlog is None:
            return False
        backlog.append(settlement)
        return True

    async def _flush(self, batch: list[Settlement]) -> None:
        """Settle a batch, or move it to the backlogs of its queues."""
        try:
            await self._settle(batch)
        except BrokerUnavailable as error:
            _log_deferred(batch, error, FIRST_BACKOFF)
            for settlement in batch:
                if not self._joins_backlog(settlement):
                    queue = settlement.lease.message.queue
                    self._backlogs[queue] = [settlement]
                    retry = asyncio.create_task(self._retry(queue), name=f"asynqio settler of {queue}")
                    self._retries.add(retry)
                    retry.add_done_callback(self._retries.discard)

    async def _retry(self, queue: str) -> None:
        """Retry until the backlog of a queue is empty."""
        backlog, delay = self._backlogs[queue], FIRST_BACKOFF
        while backlog:
            await asyncio.sleep(delay)
            batch = backlog[:BATCH_SIZE]
            try:
                await self._settle(batch)
            except BrokerUnavailable as error:
                delay = min(2 * delay, BACKOFF_CAP)
                _log_deferred(batch, error, delay)
            else:
                del backlog[: len(batch)]
                delay = 0.0
        del self._backlogs[queue]
        self._set_idle()

    async def _settle(self, batch: list[Settlement]) -> None:
        """Raises BrokerUnavailable only."""
        try:
            answers = await self._broker.settle(batch)
        except BrokerUnavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                message = batch[0].lease.message
                log.exception(
                    "task %r cannot be settled; its lease will lapse",
                    message.id,
                    extra={"event": "settlement_failed", "error": str(error), **task_fields(message)},
                )
                if self._endings:
                    self._publish(batch, Ending.UNRECORDED, [False])
                return
            for settlement in batch:  # isolate the one that fails
                await self._flush([settlement])
        else:
            if not all(answers):
                self._report(batch, answers)
            if self._endings:
                self._publish(batch, Ending.REFUSED, answers)

    def _publish(self, batch: list[Settlement], otherwise: Ending, answers: list[bool]) -> None:
        """Publish how these attempts ended: `otherwise` if the settlement was not accepted."""
        for settlement, accepted in zip(batch, answers, strict=True):
            ended = self._endings.pop(id(settlement), None)
            if ended is not None:
                self._events.publish(ended if accepted else msgspec.structs.replace(ended, ending=otherwise))

    def _publish_unrecorded(self) -> None:
        left, self._endings = self._endings, {}
        for ended in left.values():
            self._events.publish(msgspec.structs.replace(ended, ending=Ending.UNRECORDED))

    def _report(self, batch: list[Settlement], answers: list[bool]) -> None:
        for settlement, accepted in zip(batch, answers, strict=True):
            if not accepted:
                self.refused += 1
                message = settlement.lease.message
                log.warning(
                    "task %r (%s, queue %r) ended after its lease was lost: the outcome was not recorded, another "
                    "server has the task",
                    message.id,
                    message.type,
                    message.queue,
                    extra={"event": "settlement_refused", **task_fields(message)},
                )


def _log_deferred(batch: list[Settlement], error: BrokerUnavailable, delay: float) -> None:
    log.warning(
        "settling %d tasks: %s; retrying in %.1f s",
        len(batch),
        error,
        delay,
        extra={
            "event": "settlements_deferred",
            "count": len(batch),
            "error": str(error),
            "retry_in": round(delay, 3),
        },
    )
