"""Knows which task types are paused, so that the runner puts their tasks off."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.signals import types
from asynqio.runtime.runner import Runner
from asynqio.runtime.service import WatchingService


class Pauses(WatchingService):
    """Asks when a signal says that something changed; before the first task is taken, it knows."""

    name = "pauses"
    poll = 30.0

    def __init__(self, broker: Broker, queues: Sequence[str], runner: Runner) -> None:
        super().__init__(broker, [types(queue) for queue in queues])
        self._queues = queues
        self._runner = runner

    async def open(self) -> None:
        await super().open()
        await self.once()

    async def once(self) -> float:
        self.watch.clear()
        paused = await self._broker.paused_types(self._queues)
        self._runner.paused = {
            (queue, type): since for queue, some in paused.items() for type, since in some.items()
        }
        return self.poll
