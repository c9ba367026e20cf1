"""What one event loop uses of a Redis broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.redis.operations.leases import LeaseRepair
from asynqio.brokers.redis.operations.notifications import Notifications
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.clock import Clock


class LoopSession:
    """A session with its notifications. It is closed by `close`, or when its event loop cancels all tasks at its end.

    `on_close` is called first, perhaps twice.
    """

    def __init__(
        self, settings: RedisSettings, clock: Clock, on_close: Callable[[LoopSession], object]
    ) -> None:
        self.session = Session(settings, clock)
        self.notifications = Notifications(self.session)
        self.lease_repair = LeaseRepair()
        self.is_open = False
        self._on_close = on_close
        self._opening = asyncio.Lock()
        self._closing = asyncio.Event()
        self._closed = loop_task(self._close_at_end(), "asynqio-redis session")

    async def open(self) -> None:
        """Connect, unless it is connected. Raises as `Session.open` does."""
        async with self._opening:
            if not self.is_open and not self._closing.is_set():
                await self.session.open()
                self.is_open = True

    async def close(self) -> None:
        """Disconnect."""
        self.close_soon()
        await asyncio.shield(self._closed)

    def close_soon(self) -> None:
        """Disconnect, without waiting for it."""
        self._on_close(self)
        self._closing.set()

    async def _close_at_end(self) -> None:
        try:
            await self._closing.wait()
        except asyncio.CancelledError:
            self.close_soon()
            await self._disconnect()
            raise
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self.notifications.close()
        await self.session.background.wait()
        await self.session.redis.close()
