"""Passes cancellations to the clients that hold the tasks, and to no others."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.gateway.asynq import answers
from asynqio.gateway.asynq.held import HeldTasks
from asynqio.runtime.service import Service


class Cancellations(Service):
    """Receives until it is stopped."""

    name = "cancellations"

    def __init__(self, store: Store, held: HeldTasks) -> None:
        self._store = store
        self._held = held

    async def once(self) -> float:
        return 0.001

    async def rest(self, seconds: float) -> None:
        async for cancelled in self._store.cancellations():
            for held in self._held.find(cancelled.ref):
                held.session.push(answers.cancellation(held.ref.id))
