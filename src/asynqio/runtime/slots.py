"""The number of attempts that may still start."""

from __future__ import annotations

import asyncio
from typing import Any


class Slots:
    """A counter of free slots. One coroutine, the fetcher, waits on it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 1.0

    def take(self, count: int) -> None:
        """Reserve slots that are free."""
        self.free -= count

    def release(self, count: int = 1) -> None:
        """Free slots."""
        self.free += count
        if self._waiter is not None and self.free >= self._wanted:
            self.wake()

    def wake(self, _: object = None) -> None:
        """Wake the fetcher."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, wanted: float = 1, call: asyncio.Future[Any] | None = None) -> None:
        """Wait until `wanted` slots are free, `call` is done, or `wake` is called."""
        if self.free >= wanted or (call is not None and call.done()):
            return
        self._wanted = wanted
        self._waiter = asyncio.get_running_loop().create_future()
        if call is not None:
            call.add_done_callback(self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if call is not None:
                call.remove_done_callback(self.wake)
