"""A client with push connections, and what they receive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.push import PushConnection, PushConnections
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.url import parse

#: Seconds; long enough for a slow machine. Tests do not wait for it to pass.
SOON = 30.0
PUSH = Script.of("push", "return redis.call('LPUSH', KEYS[1], ARGV[1])")


class Received:
    """The messages of push connections."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.ups: asyncio.Queue[PushConnection] = asyncio.Queue()
        self.setup: Callable[[PushConnection], Awaitable[Any]] = track

    def on_push(self, frame: list[Any]) -> None:
        self.frames.put_nowait(frame)

    async def on_up(self, push: PushConnection) -> None:
        await self.setup(push)
        self.ups.put_nowait(push)

    async def up(self) -> PushConnection:
        async with asyncio.timeout(SOON):
            return await self.ups.get()

    async def next(self) -> list[Any]:
        async with asyncio.timeout(SOON):
            return await self.frames.get()


async def track(push: PushConnection) -> None:
    await push.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "asynq:")


@contextlib.asynccontextmanager
async def opened(
    url: str, received: Received, **others: Any
) -> AsyncIterator[tuple[RedisClient, PushConnections]]:
    redis = RedisClient(parse(url))
    await redis.open()
    connections = PushConnections(redis.settings, redis._router, received.on_push, received.on_up, **others)
    before = asyncio.all_tasks()
    await connections.open()
    try:
        yield redis, connections
    finally:
        await connections.close()
        await redis.close()
        left = asyncio.all_tasks() - before
        assert not [task for task in left if "Switch." not in repr(task.get_coro())]
