"""Many items in pieces: one script call for each, all of them under way at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Items per script call. Several calls in flight beat bigger ones, and nobody else waits long: about 1 ms.
BATCH_SIZE = 200
#: Bytes per script call, roughly.
BYTES_TOGETHER = 4_000_000


def chunks(items: Sequence[T], sizes: Sequence[int] | None = None) -> Iterator[Sequence[T]]:
    """`items` in pieces for one call each, bounded by number and, if `sizes` tells them, by bytes."""
    if len(items) <= BATCH_SIZE and (sizes is None or sum(sizes) <= BYTES_TOGETHER):
        if items:
            yield items
        return
    start, weight = 0, 0
    for at in range(len(items)):
        size = sizes[at] if sizes else 0
        if at > start and (at - start == BATCH_SIZE or weight + size > BYTES_TOGETHER):
            yield items[start:at]
            start, weight = at, 0
        weight += size
    yield items[start:]


async def together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """The answers of calls that are under way at the same time."""
    return [await calls[0]] if len(calls) == 1 else list(await asyncio.gather(*calls))


async def by_queue(queues: Iterable[str], call: Callable[[str, Sequence[int]], Awaitable[None]]) -> None:
    """`await call(queue, places)` per queue and piece: `queues` says whose each item is, `places` are indexes."""
    places: dict[str, list[int]] = {}
    for at, queue in enumerate(queues):
        places.setdefault(queue, []).append(at)
    calls = [call(queue, some) for queue, all_of_it in places.items() for some in chunks(all_of_it)]
    if calls:
        await together(calls)
