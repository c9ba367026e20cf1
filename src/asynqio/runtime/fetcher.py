"""Takes as many tasks as there are free slots, and sleeps until there may be more."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from asynqio.brokers.base import Broker
from asynqio.brokers.signals import pending
from asynqio.core.queues import QueueOrder
from asynqio.runtime.service import WatchingService
from asynqio.runtime.settler import Settler
from asynqio.runtime.slots import Slots

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner


class Fetcher(WatchingService):
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
        super().__init__(broker, [pending(queue) for queue in order.names])
        self._order = order
        self._slots = slots
        self._runner = runner
        self._settler = settler
        self._lease = lease
        self._owner = owner
        self._random = random

    async def once(self) -> float:
        if self._slots.free <= 0 or self._settler.congested or self._runner.isolating:
            return math.inf
        self.watch.clear()
        leases = await self._broker.dequeue(
            self._order.next(self._random), self._slots.free, self._lease, self._owner
        )
        if not leases:
            return self.poll
        self._slots.take(len(leases))
        self._runner.start(leases)
        return 0.0 if self._slots.free > 0 else math.inf

    async def rest(self, seconds: float) -> None:
        if self._runner.isolating:
            await self._runner.isolation()
        elif self._settler.congested:
            await self._settler.drain()
        elif math.isinf(seconds):
            await self._slots.wait()
        else:
            await self.watch.wait(seconds)
