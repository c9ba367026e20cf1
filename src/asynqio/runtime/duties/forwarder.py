"""Makes scheduled tasks pending at the moment they are due, not at the next poll (bug B21)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.signals import due
from asynqio.core.election import Election
from asynqio.runtime.service import WatchingService

#: Tasks forwarded per call.
BATCH_SIZE = 1_000
#: The longest time in seconds that a server waits after a due time if another one was faster the last time.
LONGEST_WAIT = 0.05


class Forwarder(WatchingService):
    """Sleeps until the next due time; a signal wakes it when a task with an earlier one is enqueued."""

    name = "forwarder"

    def __init__(self, broker: Broker, queues: Sequence[str], random: Random) -> None:
        super().__init__(broker, [due(queue) for queue in queues])
        self._queues = queues
        self._random = random
        self._election = Election(LONGEST_WAIT)

    def serve(self, queues: Sequence[str]) -> None:
        """Forward the tasks of these queues from now on, starting at once."""
        self.watch_instead([due(queue) for queue in queues])
        self._queues = queues

    async def once(self) -> float:
        self.watch.clear()
        known = self.watch.due_queues(self._broker.clock.now())
        if known is not None and not known.queues:
            return self.until(known.next_at) + self._election.delay(self._random)
        queues = self._queues if known is None else known.queues
        moved, next_at = await self._broker.forward(queues, BATCH_SIZE)
        if moved:
            self._election.won()
        elif known is not None:
            self._election.collided(self._broker.clock.monotonic())
        if moved == BATCH_SIZE:
            return 0.0
        if known is not None and known.next_at < math.inf:
            next_at = known.next_at if next_at is None else min(next_at, known.next_at)
        return self.until(next_at)
