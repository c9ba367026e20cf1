"""Tasks that are due become pending: at the moment they are due, not at the next poll (bug B21)."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.base import Broker
from asynqio.brokers.signals import Watch, due
from asynqio.runtime.service import Service

#: Tasks moved per call.
BATCH = 1_000
#: Look again after so many seconds at the latest, so that a stepped clock or a lost signal costs no more.
POLL = 5.0


class Forwarder(Service):
    """Sleeps exactly until the next due time; woken when a task with an earlier one comes in."""

    name = "forwarder"

    def __init__(self, broker: Broker, queues: Sequence[str]) -> None:
        self._broker = broker
        self._queues = queues
        self._watch: Watch | None = None

    async def open(self) -> None:
        self._watch = self._broker.watch([due(queue) for queue in self._queues])

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.close()

    async def once(self) -> float:
        assert self._watch is not None
        self._watch.clear()
        moved, next_at = await self._broker.forward(self._queues, BATCH)
        if moved == BATCH:
            return 0.0
        if next_at is None:
            return POLL
        # A timer may fire a hair early by this clock: a millisecond on top saves a useless look.
        return min(max(next_at - self._broker.clock.now(), 0.0) + 0.001, POLL)

    async def rest(self, seconds: float) -> None:
        assert self._watch is not None
        await self._watch.wait(seconds)
