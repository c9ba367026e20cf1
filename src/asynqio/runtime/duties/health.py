"""Reports to the application at intervals whether the broker answers (Go's HealthCheckFunc)."""

from __future__ import annotations

from collections.abc import Callable

from asynqio.brokers.contract.broker import Broker
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.service import Service


class Health(Service):
    """Calls the application's function with the error of a ping, or with None."""

    name = "health check"

    def __init__(
        self, broker: Broker, callback: Callable[[BrokerUnavailable | None], None], interval: float
    ) -> None:
        self._broker = broker
        self._callback = callback
        self._interval = interval

    async def once(self) -> float:
        error: BrokerUnavailable | None = None
        try:
            await self._broker.ping()
        except BrokerUnavailable as unavailable:
            error = unavailable
        self._callback(error)
        return self._interval
