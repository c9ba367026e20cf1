"""How many more attempts may start."""

from __future__ import annotations

import asyncio
from typing import Any


class Slots:
    """A counter of free slots that one coroutine, the fetcher, waits on."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 1.0

    def take(self, count: int) -> None:
        self.free -= count

    def release(self, count: int = 1) -> None:
        """Slots that are not needed any more."""
        self.free += count
        if self._waiter is not None and self.free >= self._wanted:
            self.wake()

    def wake(self, _: object = None) -> None:
        """Let the fetcher look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, wanted: float = 1, call: asyncio.Future[Any] | None = None) -> None:
        """Until so many slots are free, or the call is over, or `wake`."""
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
