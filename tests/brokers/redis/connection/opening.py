"""Open connections to real servers, for the tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from asynqio.brokers.redis.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.redis.settings import Address
from asynqio.brokers.redis.url import parse
from asynqio.errors import BrokerError
from tests.brokers.redis.support.servers import RedisServer

#: Seconds; long enough for a slow machine. Tests do not wait for it to pass.
SOON = 20.0


def connection_to(url: str, **others: Any) -> ReconnectingConnection:
    """A connection that is not open yet."""
    settings = parse(url)

    async def locate() -> Address:
        return settings.path or settings.nodes[0]

    return ReconnectingConnection(settings, locate, **others)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[ReconnectingConnection]:
    """An open connection. Checks that closing it ends its background tasks."""
    connection = connection_to(url)
    before = asyncio.all_tasks()
    await connection.open()
    ours = asyncio.all_tasks() - before
    assert ours
    try:
        yield connection
    finally:
        await connection.close()
        assert not ours & asyncio.all_tasks()


async def outcome(call: Awaitable[Any]) -> Any:
    """The reply, or the error."""
    try:
        async with asyncio.timeout(SOON):
            return await call
    except BrokerError as error:
        return error


async def clients(server: RedisServer, name: str = "asynqio") -> int:
    """How many clients of this name the server has."""
    return str(await to_thread(server.cli, "CLIENT", "LIST")).count(f" name={name} ")
