"""Many callers, few calls: while one call is under way, what comes in waits and goes together in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Batcher(Generic[I, O]):
    """Turns single items into calls of a batch function whose answers are aligned with its input.

    A lone caller pays nothing: its item goes out at once. Callers that come while a call is in flight share
    the next one. A caller that is cancelled while it waits takes its item back; one whose item is under way
    does not stop the call.
    """

    def __init__(self, call: Callable[[list[I]], Awaitable[Sequence[O]]], limit: int = 1_000) -> None:
        self._call = call
        self._limit = limit
        self._busy = False
        self._waiting: list[tuple[I, asyncio.Future[O]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: I) -> O:
        """The answer for this item."""
        if self._busy:
            future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
            self._waiting.append((item, future))
            return await future
        self._busy = True
        try:
            [answer] = await self._call([item])
        finally:
            self._next()
        return answer

    def _gather(self) -> None:
        """Callers whose answers have just come tend to ask again at once: let them all do so first. Else the first
        of them would go out alone, and every other call would carry one item."""
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._waiting = [waiter for waiter in self._waiting if not waiter[1].done()]
        if not self._waiting:
            self._busy = False
            return
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        task = asyncio.create_task(self._flush(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        finally:
            if len(batch) > 1:
                self._gather()
            else:
                self._next()
