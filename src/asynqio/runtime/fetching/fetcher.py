"""Fetches as many tasks as there are free slots, and sleeps until there may be more.

From a store behind a network it fetches for a part of the slots at a time, and requests the next part before it
starts the tasks that arrived, so the store and the network work while the handlers do. Measured on Redis, in turns,
tasks/s with all slots at once and with halves: 10 slots 13,700 and 17,800; 50 slots 27,000 and 39,000; 200 slots
25,000 and 44,000. Quarters are slower there (36,000), but with a round trip of 2 ms they keep the connection busy:
26,000 instead of 20,000.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from random import Random
from typing import NamedTuple

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import pending
from asynqio.core.lifecycle import Lease
from asynqio.core.queue_order import QueueOrder
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.service import WatchingService
from asynqio.runtime.slots import Slots

log = logging.getLogger("asynqio.server")

#: Round trip in seconds from which on a store counts as far away.
FAR = 0.001
#: Seconds that the last calls may take when the server stops. The broker has as long to undo them.
LAST_FETCH_TIMEOUT = 1.0
#: Turns of the event loop until a new call is about to be sent; handlers start after it, in the next turn.
TURNS = 1


class Call(NamedTuple):
    """A dequeue in flight, and the slots that are reserved for its tasks."""

    answer: asyncio.Task[list[Lease]]
    slots: int
    #: When it was sent, by the steady clock.
    sent_at: float
    #: Tasks that were cancelled meanwhile, and whether to archive them. They may be among the answer.
    cancelled: dict[TaskRef, bool]


class Fetcher(WatchingService):
    """Never fetches more than can start at once, so that no leased task waits here while other servers are idle."""

    name = "fetcher"

    def __init__(
        self,
        broker: Broker,
        order: QueueOrder,
        slots: Slots,
        runner: Runner,
        settler: Settler,
        *,
        lease: float,
        owner: str,
        random: Random,
    ) -> None:
        super().__init__(broker, [pending(queue) for queue in order.names])
        self._order = order
        self._slots = slots
        self._runner = runner
        self._settler = settler
        self._lease = lease
        self._owner = owner
        self._random = random
        self._calls: deque[Call] = deque()
        #: The call that was answered last, until its tasks are started.
        self._arrived: Call | None = None
        #: Whether the last answer was full: then there are probably more tasks.
        self._plenty = False
        #: Tasks requested per call, and calls that may be in flight at once.
        self._part, self._depth = slots.total, 1

    async def open(self) -> None:
        await super().open()
        # An idle server takes a task before one that is busy already.
        self.watch.yields = lambda: self._slots.free < self._slots.total
        if round_trip := self._broker.round_trip:
            parts = 2 if round_trip < FAR else 4
            self._part, self._depth = -(-self._slots.total // parts), parts - 1

    async def once(self) -> float:
        leases: list[Lease] | None = None
        if self._calls and self._calls[0].answer.done():
            leases = self._receive()
        # Request nothing beside a task that may be poison: what arrives would die with it.
        if leases and self._plenty and not any(lease.message.crashes for lease in leases):
            if self._request() and self._broker.round_trip:
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            self._start(leases)
        elif leases:
            self._start(leases)
            if self._plenty:
                self._request()
        elif leases is None:
            self._request()
        if self._calls:
            return 0.0 if self._calls[0].answer.done() else math.inf
        # An answer that is not full means that there are no more tasks, until the next signal.
        return math.inf if leases is None or self._plenty else self.idle_poll

    async def rest(self, seconds: float) -> None:
        if self._calls:
            wanted = self._part if self._room and not self._blocked else math.inf
            await self._slots.wait(wanted, self._calls[0].answer)
        elif not math.isinf(seconds):
            await self.watch.wait(seconds)
        elif self._runner.isolation.active:
            await self._runner.isolation.wait()
        elif self._settler.congested:
            await self._settler.drain()
        else:
            await self._slots.wait()

    async def close(self) -> None:
        """Wait for the calls in flight and start their tasks. A call that takes longer than `LAST_FETCH_TIMEOUT` is
        cancelled: the broker returns what it has taken."""
        answers = [call.answer for call in self._calls]
        if answers:
            _, late = await asyncio.wait(answers, timeout=LAST_FETCH_TIMEOUT)
            for answer in late:
                answer.cancel()
            await asyncio.wait(answers)
        while self._calls:
            try:
                leases = self._receive()
            except (BrokerError, asyncio.CancelledError) as error:
                why = str(error) or f"no reply within {LAST_FETCH_TIMEOUT:g} s"
                log.warning(
                    "the last fetch failed; the leases it may have taken will lapse: %s",
                    why,
                    extra={"event": "last_fetch_failed", "error": why},
                )
            else:
                self._start(leases)
        await super().close()

    def cancel(self, cancellation: Cancellation) -> None:
        """Remember a cancelled task that does not run here: it may be in the answer of a call in flight."""
        ref = cancellation.ref
        calls = [*self._calls, self._arrived] if self._arrived is not None else self._calls
        for call in calls:
            call.cancelled[ref] = cancellation.archive or call.cancelled.get(ref, False)

    @property
    def unstarted_since(self) -> float | None:
        """When the oldest call was sent whose tasks have not started, by the steady clock; None: there is none.

        It may have taken tasks that only the broker knows of. Safe to call from other threads.
        """
        if (arrived := self._arrived) is not None:
            return arrived.sent_at
        try:
            return self._calls[0].sent_at
        except IndexError:
            return None

    @property
    def _blocked(self) -> bool:
        """Whether nothing may be requested now."""
        return self._settler.congested or self._runner.isolation.active

    @property
    def _room(self) -> bool:
        """Whether one more call may be sent once a whole part of the slots is free."""
        return self._plenty and len(self._calls) < self._depth

    def _request(self) -> bool:
        """Request tasks for the free slots. Returns whether a call was sent."""
        requested = False
        while self._slots.free > 0 and not self._blocked:
            if self._calls and not (self._room and self._slots.free >= self._part):
                break
            self.watch.clear()
            slots = min(self._slots.free, self._part)
            self._slots.take(slots)
            queues = self._order.next(self._random)
            timed = bool(self._runner.events.listeners)
            call = self._broker.dequeue(queues, slots, self._lease, self._owner, timed=timed)
            answer = asyncio.create_task(call, name="asynqio dequeue")
            self._calls.append(Call(answer, slots, self._broker.clock.monotonic(), {}))
            requested = True
        return requested

    def _receive(self) -> list[Lease]:
        """The answer of the oldest call. The slots that it did not need are free again. Raises BrokerError."""
        call, self._arrived = self._calls.popleft(), None
        leases: list[Lease] = []
        try:
            leases = call.answer.result()
        finally:
            self._slots.release(call.slots - len(leases))
            self._plenty = len(leases) == call.slots
        self._arrived = call if leases else None
        return leases

    def _start(self, leases: list[Lease]) -> None:
        cancelled = self._arrived.cancelled if self._arrived is not None else {}
        self._arrived = None
        self._runner.start(leases, cancelled)
