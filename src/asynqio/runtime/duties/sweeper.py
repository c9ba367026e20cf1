"""Deletes what has outlived its retention and gives stale group batches back."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.runtime.service import Service

#: Seconds between two looks at the latest (Go's janitor: 8 s), and tasks deleted per call.
INTERVAL = 8.0
BATCH = 1_000


class Sweeper(Service):
    """Looks every few seconds, sooner when something is known to end sooner."""

    name = "sweeper"

    def __init__(self, broker: Broker, queues: Sequence[str]) -> None:
        self._broker = broker
        self._queues = queues

    async def once(self) -> float:
        deleted, next_at = await self._broker.sweep(self._queues, BATCH)
        if deleted == BATCH:
            return 0.0
        if next_at is None:
            return INTERVAL
        return min(max(next_at - self._broker.clock.now(), 1.0), INTERVAL)
