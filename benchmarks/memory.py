"""What a waiting task takes of the memory of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from redis import Redis

from asynqio import open_broker
from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.drain import fill
from benchmarks.place import fresh_url

#: Seconds until the server has let go of the buffers of connections that were closed.
LET_GO = 0.5


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "memory per task", _ours, once=True)] if kind == "redis" else []


async def bytes_per_task(put: Callable[[str, int], Awaitable[object]], size: Size) -> Figures:
    """`put` gets a URL and a number of tasks. The difference of `used_memory`, so everything counts."""
    with fresh_url("redis") as url, Redis.from_url(url) as redis:
        await put(url, 1)  # scripts and counters that are there once are not a task's
        before = await _used(redis)
        await put(url, size.stored)
        return {rows.BYTES: (await _used(redis) - before) / size.stored}


async def _used(redis: Redis) -> int:
    await asyncio.sleep(LET_GO)
    used: int = redis.info("memory")["used_memory"]
    return used


async def _ours(size: Size) -> Figures:
    async def put(url: str, count: int) -> None:
        async with open_broker(url) as store:
            await fill(store, count)

    return await bytes_per_task(put, size)
