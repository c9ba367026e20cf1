"""What one event loop uses of a remote broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.remote.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.remote.gateway_clock import INTERVAL, GatewayClock
from asynqio.brokers.remote.operations.notifications import Notifications
from asynqio.brokers.remote.operations.undo import HandBack
from asynqio.brokers.remote.settings import RemoteSettings
from asynqio.brokers.remote.wire.hello import Hello
from asynqio.clock import Clock
from asynqio.errors import BrokerError

#: How many round trips to measure. The shortest counts, because other load only adds to it.
PINGS = 3


class LoopSession:
    """A connection with its notifications. It is closed by `close`, or when its event loop cancels all tasks at its
    end. `on_close` is called first, perhaps twice."""

    def __init__(
        self, settings: RemoteSettings, clock: Clock, on_close: Callable[[LoopSession], object]
    ) -> None:
        self.connection = ReconnectingConnection(settings, self._up, self._receive)
        self.notifications = Notifications(self.connection)
        self.hand_back = HandBack(self.connection)
        self.clock = GatewayClock(clock, self.connection)
        self.is_open = False
        #: Seconds of a round trip.
        self.round_trip = 0.0
        self._on_close = on_close
        self._measuring: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._closing = asyncio.Event()
        self._closed = loop_task(self._close_at_end(), "asynqio-remote session")

    def _up(self, hello: Hello) -> None:
        self.notifications.up(hello)

    def _receive(self, kind: str, values: list[Any]) -> None:
        self.notifications.receive(kind, values)

    async def open(self) -> None:
        """Connect, unless it is connected. Raises BrokerUnavailable after `patience` seconds, and BrokerError at once
        if refused."""
        async with self._opening:
            if self.is_open or self._closing.is_set():
                return
            self.connection.start()
            loop = asyncio.get_running_loop()
            try:
                trips: list[float] = []
                for _ in range(PINGS):
                    started = loop.time()
                    await self.clock.measure()
                    trips.append(loop.time() - started)
            except BaseException:
                await self.connection.close()
                raise
            self.round_trip = min(trips[1:])
            self._measuring = loop_task(self._measure(), "asynqio-remote clock")
            self.is_open = True

    async def close(self) -> None:
        """Disconnect."""
        self.close_soon()
        await asyncio.shield(self._closed)

    def close_soon(self) -> None:
        """Disconnect, without waiting for it."""
        self._on_close(self)
        self._closing.set()

    async def _measure(self) -> None:
        """Measure the clock of the gateway now and then."""
        while True:
            await asyncio.sleep(INTERVAL)
            with contextlib.suppress(BrokerError):
                await self.clock.measure()

    async def _close_at_end(self) -> None:
        try:
            await self._closing.wait()
        except asyncio.CancelledError:
            self.close_soon()
            await self._disconnect()
            raise
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
        await self.hand_back.wait()
        await self.connection.close()
