"""Calls of concurrent callers with the same terms share one call of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from asynqio.brokers.contract.per_loop import PerLoop
from asynqio.runtime.attempts.apply_each import apply_each
from asynqio.runtime.batcher import Batcher

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class CanBeIdle(Protocol):
    @property
    def is_idle(self) -> bool: ...


V = TypeVar("V", bound=CanBeIdle)

#: Most items of a call that shares: a larger call gains nothing.
SMALL = 32
#: Most items of a shared call: what every broker applies in one step, so a call that raised has changed nothing.
MOST = 200
#: Objects per event loop after which the idle ones are dropped.
KEPT = 1_000


class SharedCalls(Generic[K, I, O]):
    """Shares calls of `call(key, items)`, whose answers are aligned with its items, between callers with equal keys.

    If a shared call fails, it is repeated in halves until the callers whose items fail are alone: their errors reach
    only them. So a call that raises must have changed nothing, or be repeatable. `overlap`: see Batcher.
    """

    def __init__(
        self,
        call: Callable[[K, Sequence[I]], Awaitable[Sequence[O]]],
        overlap: Callable[[], bool] = lambda: False,
    ) -> None:
        self._call = call
        self._overlap = overlap
        self._batchers: PerLoop[dict[K, Batcher[Sequence[I], list[O] | Exception]]] = PerLoop(dict)

    async def __call__(self, key: K, items: Sequence[I]) -> list[O]:
        """The answers for these items, at most SMALL. Raises what `call` raises for them."""
        batchers = self._batchers.get()
        batcher = batchers.get(key)
        if batcher is None:
            batcher = Batcher(partial(self._send, key), overlap=self._overlap)
            add(batchers, key, batcher)
        answer = await batcher.submit(items)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send(self, key: K, callers: list[Sequence[I]]) -> list[list[O] | Exception]:
        if len(callers) == 1:
            try:
                return [list(await self._call(key, callers[0]))]
            except Exception as error:
                return [error]
        call = partial(self._merge, key)
        pieces = list(in_pieces(callers))
        if len(pieces) == 1:
            return await apply_each(call, callers)
        answers = await asyncio.gather(*(apply_each(call, piece) for piece in pieces))
        return [answer for some in answers for answer in some]

    async def _merge(self, key: K, callers: Sequence[Sequence[I]]) -> list[list[O]]:
        if len(callers) == 1:
            return [list(await self._call(key, callers[0]))]
        answers = iter(await self._call(key, [item for items in callers for item in items]))
        return [[next(answers) for _ in items] for items in callers]


def in_pieces(callers: Sequence[Sequence[I]]) -> list[Sequence[Sequence[I]]]:
    """The callers in pieces of at most MOST items."""
    if len(callers) <= MOST // SMALL or sum(map(len, callers)) <= MOST:
        return [callers]
    pieces, start, size = [], 0, 0
    for at, items in enumerate(callers):
        if size + len(items) > MOST:
            pieces.append(callers[start:at])
            start, size = at, 0
        size += len(items)
    return [*pieces, callers[start:]]


def add(things: dict[K, V], key: K, thing: V) -> None:
    """Add an object of a key. Drops idle objects when there are many: the keys come from callers."""
    if len(things) >= KEPT:
        for other in [other for other, it in things.items() if it.is_idle]:
            del things[other]
    things[key] = thing
