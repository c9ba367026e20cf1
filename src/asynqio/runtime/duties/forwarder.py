"""Makes scheduled tasks pending at the moment they are due, not at the next poll (bug B21)."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.signals import due
from asynqio.runtime.service import WatchingService

#: Tasks forwarded per call.
BATCH_SIZE = 1_000


class Forwarder(WatchingService):
    """Sleeps until the next due time; a signal wakes it when a task with an earlier one is enqueued."""

    name = "forwarder"

    def __init__(self, broker: Broker, queues: Sequence[str]) -> None:
        super().__init__(broker, [due(queue) for queue in queues])
        self._queues = queues

    async def once(self) -> float:
        self.watch.clear()
        moved, next_at = await self._broker.forward(self._queues, BATCH_SIZE)
        return 0.0 if moved == BATCH_SIZE else self.until(next_at)
