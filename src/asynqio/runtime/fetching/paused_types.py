"""Follows which task types are paused, so that the runner defers their tasks."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Broker
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.service import WatchingService


class PausedTypes(WatchingService):
    """Reads the paused types before the first fetch, and again after each signal."""

    name = "paused types"
    poll = 30.0

    def __init__(self, broker: Broker, queues: Sequence[str], runner: Runner) -> None:
        super().__init__(broker, [signals.types(queue) for queue in queues])
        self._queues = queues
        self._runner = runner

    async def open(self) -> None:
        await super().open()
        await self.once()

    async def once(self) -> float:
        self.watch.clear()
        paused = await self._broker.paused_types(self._queues)
        self._runner.paused = {
            (queue, type): since for queue, types in paused.items() for type, since in types.items()
        }
        return self.idle_poll
