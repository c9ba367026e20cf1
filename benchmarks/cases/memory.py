"""Memory of a pending task in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from redis import Redis

from asynqio import open_broker
from benchmarks.cases.drain import fill
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url

#: Seconds until the server has freed the buffers of closed connections.
RELEASE = 0.5


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "memory per task", _ours, once=True)] if kind == "redis" else []


async def bytes_per_task(put: Callable[[str, int], Awaitable[object]], size: Size) -> Values:
    """The difference of `used_memory` per task, where `put(url, count)` enqueues tasks."""
    with temporary_url("redis") as url, Redis.from_url(url) as redis:
        await put(url, 1)  # excludes scripts and counters, which exist once
        before = await _used(redis)
        await put(url, size.stored)
        return {row_names.BYTES: (await _used(redis) - before) / size.stored}


async def _used(redis: Redis) -> int:
    await asyncio.sleep(RELEASE)
    used: int = redis.info("memory")["used_memory"]
    return used


async def _ours(size: Size) -> Values:
    async def put(url: str, count: int) -> None:
        async with open_broker(url) as store:
            await fill(store, count)

    return await bytes_per_task(put, size)
