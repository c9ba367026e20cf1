"""Split many items into script calls of bounded size, and run those calls concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Items per script call. Several calls in flight are faster than larger ones, and block other clients for about 1 ms.
BATCH_SIZE = 200
#: Approximate bytes per script call.
BATCH_BYTES = 4_000_000


def chunks(items: Sequence[T], sizes: Sequence[int] | None = None) -> Iterator[Sequence[T]]:
    """`items` in chunks of at most BATCH_SIZE and, if `sizes` are given, about BATCH_BYTES."""
    if len(items) <= BATCH_SIZE and (sizes is None or sum(sizes) <= BATCH_BYTES):
        if items:
            yield items
        return
    start, weight = 0, 0
    for at in range(len(items)):
        size = sizes[at] if sizes else 0
        if at > start and (at - start == BATCH_SIZE or weight + size > BATCH_BYTES):
            yield items[start:at]
            start, weight = at, 0
        weight += size
    yield items[start:]


async def gather(calls: Sequence[Awaitable[T]]) -> list[T]:
    """The results of concurrent calls; a single one is awaited directly."""
    return [await calls[0]] if len(calls) == 1 else list(await asyncio.gather(*calls))


async def by_queue(queues: Iterable[str], call: Callable[[str, Sequence[int]], Awaitable[None]]) -> None:
    """`await call(queue, indexes)` per queue and chunk; `queues` holds the queue of each item."""
    indexes: dict[str, list[int]] = {}
    for at, queue in enumerate(queues):
        indexes.setdefault(queue, []).append(at)
    calls = [call(queue, some) for queue, of_queue in indexes.items() for some in chunks(of_queue)]
    if calls:
        await gather(calls)
