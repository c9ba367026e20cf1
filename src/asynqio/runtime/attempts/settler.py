"""Settlements of all attempts go to the broker together, and are repeated until it has answered."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from asynqio.brokers.contract.broker import Broker
from asynqio.core.attempts.outcome import Ending
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.events import AttemptEnded, Events
from asynqio.runtime.service import BACKOFF_CAP, FIRST_BACKOFF

log = logging.getLogger("asynqio.server")

#: Settlements per call. One call settles everything that ended while the last one was under way.
BATCH = 1_000


class Settler:
    """Collects settlements and carries them out, in order, one call at a time.

    While the broker is away they wait here, each queue in a line of its own, for a cluster may have lost the
    master of some only. Their leases are still renewed (`outstanding`), and because brokers fence by token
    a late repetition can never hurt: it is accepted, or refused because somebody else has the task by now.
    The fetcher stops while too many wait (`congested`).
    """

    def __init__(self, broker: Broker, high_water: int, events: Events | None = None) -> None:
        self._broker = broker
        self._high_water = high_water
        self._events = events or Events()
        #: What listeners are told once the broker has answered, by the identity of the settlement.
        self._endings: dict[int, AttemptEnded] = {}
        self._queue: list[Settlement] = []
        self._in_flight: list[Settlement] = []
        #: What could not be stored yet, by queue, and who tries again.
        self._lines: dict[str, list[Settlement]] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        #: Settlements that came too late: the task was somebody else's by then.
        self.refused = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="asynqio settler")

    def add(self, settlement: Settlement, ended: AttemptEnded | None = None) -> None:
        """`ended` is published when it is so."""
        self._queue.append(settlement)
        if ended is not None:
            self._endings[id(settlement)] = ended
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def congested(self) -> bool:
        waiting = sum(map(len, self._lines.values())) if self._lines else 0
        return len(self._queue) + len(self._in_flight) + waiting >= self._high_water

    def outstanding(self) -> list[Lease]:
        """The leases of everything that is not settled yet. Safe to call from other threads."""
        waiting = [settlement for line in list(self._lines.values()) for settlement in list(line)]
        return [settlement.lease for settlement in (*self._in_flight, *self._queue, *waiting)]

    async def drain(self) -> None:
        """Until everything is settled."""
        if self._queue:
            self._idle.clear()
        await self._idle.wait()

    async def stop(self, timeout: float) -> None:
        """Settle what is left, for at most `timeout` seconds."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.drain()
        except TimeoutError:
            log.error(
                "%d settlements could not be stored: these tasks will run again when their leases lapse",
                len(self.outstanding()),
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
                self._rest()
                await self._waiter
                self._waiter = None
                self._idle.clear()
            self._in_flight, self._queue = self._queue[:BATCH], self._queue[BATCH:]
            if self._lines:
                self._in_flight = [one for one in self._in_flight if not self._lined_up(one)]
            if self._in_flight:
                await self._flush(self._in_flight)
            self._in_flight = []

    def _rest(self) -> None:
        """Say so when everything is settled."""
        if not self._lines and not self._queue and self._waiter is not None and not self._waiter.done():
            self._idle.set()

    def _lined_up(self, settlement: Settlement) -> bool:
        """Whether its queue has a line, in which it stands now."""
        line = self._lines.get(settlement.lease.message.queue)
        if line is None:
            return False
        line.append(settlement)
        return True

    async def _flush(self, batch: list[Settlement]) -> None:
        """Settle these, or line them up."""
        try:
            await self._settle(batch)
        except BrokerUnavailable as error:
            log.warning("settling %d tasks: %s; trying again in %.1f s", len(batch), error, FIRST_BACKOFF)
            for settlement in batch:
                if not self._lined_up(settlement):
                    queue = settlement.lease.message.queue
                    self._lines[queue] = [settlement]
                    retry = asyncio.create_task(self._retry(queue), name=f"asynqio settler of {queue}")
                    self._retries.add(retry)
                    retry.add_done_callback(self._retries.discard)

    async def _retry(self, queue: str) -> None:
        """Until the line of a queue is empty."""
        line, delay = self._lines[queue], FIRST_BACKOFF
        while line:
            await asyncio.sleep(delay)
            batch = line[:BATCH]
            try:
                await self._settle(batch)
            except BrokerUnavailable as error:
                delay = min(2 * delay, BACKOFF_CAP)
                log.warning("settling %d tasks: %s; trying again in %.1f s", len(batch), error, delay)
            else:
                del line[: len(batch)]
                delay = 0.0
        del self._lines[queue]
        self._rest()

    async def _settle(self, batch: list[Settlement]) -> None:
        """Raises BrokerUnavailable, and nothing else."""
        try:
            answers = await self._broker.settle(batch)
        except BrokerUnavailable:
            raise
        except Exception:
            if len(batch) == 1:
                log.exception("task %r cannot be settled; its lease will lapse", batch[0].message.id)
                if self._endings:
                    self._publish(batch, Ending.UNRECORDED, [False])
                return
            for settlement in batch:  # one of them is the culprit: the others must not suffer
                await self._flush([settlement])
        else:
            if not all(answers):
                self._report(batch, answers)
            if self._endings:
                self._publish(batch, Ending.REFUSED, answers)

    def _publish(self, batch: list[Settlement], otherwise: Ending, answers: list[bool]) -> None:
        """Tell listeners how these attempts ended; those whose settlement was not accepted: `otherwise`."""
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
                message = settlement.message
                log.warning(
                    "task %r (%s, queue %r) ended after its lease was lost: "
                    "the end was not recorded, somebody else has the task",
                    message.id,
                    message.type,
                    message.queue,
                )
