"""Takes as many tasks as there are free slots, and sleeps until there may be more."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from asynqio.brokers.base import Broker
from asynqio.brokers.signals import Watch, pending
from asynqio.core.queues import QueueOrder
from asynqio.runtime.service import Service
from asynqio.runtime.settler import Settler
from asynqio.runtime.slots import Slots

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner

#: Look again after so many seconds even if no signal came: a lost signal must not cost more than this.
POLL = 5.0


class Fetcher(Service):
    """Never fetches more than can start at once, so that no task waits leased while others are free."""

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
        self._broker = broker
        self._order = order
        self._slots = slots
        self._runner = runner
        self._settler = settler
        self._lease = lease
        self._owner = owner
        self._random = random
        self._watch: Watch | None = None

    async def open(self) -> None:
        self._watch = self._broker.watch([pending(queue) for queue in self._order.names])

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.close()

    async def once(self) -> float:
        if self._slots.free <= 0 or self._settler.congested:
            return math.inf
        assert self._watch is not None
        self._watch.clear()
        leases = await self._broker.dequeue(
            self._order.next(self._random), self._slots.free, self._lease, self._owner
        )
        if not leases:
            return POLL
        self._slots.take(len(leases))
        self._runner.start(leases)
        return 0.0 if self._slots.free > 0 else math.inf

    async def rest(self, seconds: float) -> None:
        assert self._watch is not None
        if self._settler.congested:
            await self._settler.drain()
        elif math.isinf(seconds):
            await self._slots.wait()
        else:
            await self._watch.wait(seconds)
