"""Split many items into script calls of bounded size, and run those calls concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Items per script call. Several calls in flight are faster than larger ones, and block other clients for about 1 ms.
BATCH_SIZE = 200
#: Approximate bytes per script call: what it sends, and what it reads of each task.
BATCH_BYTES = 4_000_000
#: Approximate bytes of the script calls that one operation has in flight.
BYTES_IN_FLIGHT = 4 * BATCH_BYTES


def chunks(
    items: Sequence[T], sizes: Sequence[int] | None = None, most: int = BATCH_SIZE
) -> Iterator[Sequence[T]]:
    """`items` in chunks of at most `most` and, if their `sizes` in bytes are given, about BATCH_BYTES."""
    if len(items) <= most and (sizes is None or sum(sizes) <= BATCH_BYTES):
        if items:
            yield items
        return
    start, weight = 0, 0
    for at in range(len(items)):
        size = sizes[at] if sizes else 0
        if at > start and (at - start == most or weight + size > BATCH_BYTES):
            yield items[start:at]
            start, weight = at, 0
        weight += size
    yield items[start:]


async def gather(calls: Sequence[Awaitable[T]]) -> list[T]:
    """The results of concurrent calls; a single one is awaited directly."""
    return [await calls[0]] if len(calls) == 1 else list(await asyncio.gather(*calls))


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """The results of work that runs at the same time. If some fails, raises the first error when all has ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    found = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found


async def by_queue(
    queues: Iterable[str],
    call: Callable[[str, Sequence[int]], Awaitable[None]],
    sizes: Sequence[int] | None = None,
) -> None:
    """`await call(queue, indexes)` per queue and chunk; `queues` holds the queue of each item, `sizes` its bytes.

    The calls are concurrent, except that about BYTES_IN_FLIGHT are sent before their replies are awaited.
    """
    indexes: dict[str, list[int]] = {}
    for at, queue in enumerate(queues):
        indexes.setdefault(queue, []).append(at)
    calls: list[Awaitable[None]] = []
    if sizes is None or sum(sizes) <= BATCH_BYTES:
        calls = [call(queue, some) for queue, of_queue in indexes.items() for some in chunks(of_queue)]
    else:
        in_flight = 0
        for queue, of_queue in indexes.items():
            for some in chunks(of_queue, [sizes[at] for at in of_queue]):
                if in_flight >= BYTES_IN_FLIGHT:
                    await gather(calls)
                    calls, in_flight = [], 0
                calls.append(call(queue, some))
                in_flight += sum(sizes[at] for at in some)
    if calls:
        await gather(calls)
