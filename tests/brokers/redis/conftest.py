"""A broker on a Redis of its own, and somebody go who looks at the keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient
from tests.brokers.redis.support.servers import RedisServer


@pytest.fixture
async def go(redis_server: RedisServer, clock: FakeClock) -> AsyncIterator[GoClient]:
    """Somebody who is not ours, on the shared server."""
    # On a thread, for making a client reads files.
    client = await asyncio.to_thread(redis.asyncio.Redis, port=redis_server.port)
    async with client:
        yield GoClient(client, clock)


@pytest.fixture
async def broker(redis_server: RedisServer, clock: FakeClock) -> AsyncIterator[RedisBroker]:
    """An open broker on the shared server, whose time is `clock`."""
    async with open_redis(redis_server.url, clock) as broker:
        yield broker
