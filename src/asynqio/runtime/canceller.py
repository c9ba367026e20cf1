"""Cancellation signals reach the attempts that run here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from asynqio.brokers.base import Broker
from asynqio.core.lifecycle import Failed
from asynqio.core.message import TaskRef
from asynqio.errors import TaskCanceled
from asynqio.runtime.service import Service

if TYPE_CHECKING:
    from asynqio.runtime.attempt import Attempt
    from asynqio.runtime.runner import Runner


class Canceller(Service):
    """Everything happens while it rests: there is nothing to do but to listen."""

    name = "canceller"

    def __init__(self, broker: Broker, runner: Runner) -> None:
        self._broker = broker
        self._runner = runner
        self._signals: AsyncIterator[TaskRef] | None = None

    async def once(self) -> float:
        return 1.0

    async def rest(self, seconds: float) -> None:
        signals = self._broker.cancellations()
        async for ref in signals:
            for attempt in self._meant(ref):
                attempt.stop(Failed(TaskCanceled()))

    def _meant(self, ref: TaskRef) -> list[Attempt]:
        """The attempts that a call is about: Go's do not say the queue, and mean whatever has the id."""
        running = self._runner.running
        if ref.queue:
            attempt = running.get((ref.queue, ref.id))
            return [attempt] if attempt is not None else []
        return [attempt for (_, id), attempt in list(running.items()) if id == ref.id]
