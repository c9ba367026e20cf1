"""How many more attempts may start."""

from __future__ import annotations

import asyncio


class Slots:
    """A counter of free slots that one coroutine, the fetcher, waits on."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiter: asyncio.Future[None] | None = None

    def take(self, count: int) -> None:
        self.free -= count

    def give_back(self, count: int) -> None:
        """Slots that were taken and are not needed."""
        self.free += count
        if self._waiter is not None and count:
            self.wake()

    def release(self) -> None:
        self.free += 1
        if self._waiter is not None:
            self.wake()

    def wake(self) -> None:
        """Let the fetcher look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until a slot is free, or `wake`."""
        if self.free > 0:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
