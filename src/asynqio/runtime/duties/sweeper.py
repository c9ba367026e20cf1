"""Deletes tasks whose retention has ended, and returns stale group batches to their groups."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.runtime.service import Service

#: Seconds between two runs at most (Go's janitor: 8 s), and tasks deleted per call.
INTERVAL = 8.0
BATCH_SIZE = 1_000
#: Seconds between two runs while the store has more to clean up than one run does.
PAUSE = 0.05


class Sweeper(Service):
    """Runs every few seconds, sooner if a retention is known to end sooner."""

    name = "sweeper"

    def __init__(self, broker: Broker, queues: Sequence[str]) -> None:
        self._broker = broker
        self._queues = queues
        #: Longest interval between two runs in seconds.
        self.interval = INTERVAL

    def serve(self, queues: Sequence[str]) -> None:
        """Sweep these queues from the next run on."""
        self._queues = queues

    async def once(self) -> float:
        deleted, next_at = await self._broker.sweep(self._queues, BATCH_SIZE)
        if deleted == BATCH_SIZE:
            return 0.0
        if next_at is None:
            return self.interval
        left = next_at - self._broker.clock.now()
        return PAUSE if left <= 0 else min(max(left, 1.0), self.interval)
