"""A broker on the shared Redis, and a client that acts as Go does."""

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
    """A client of the shared server that acts as Go does."""
    # In a thread, because making a client reads files.
    client = await asyncio.to_thread(redis.asyncio.Redis, port=redis_server.port)
    async with client:
        yield GoClient(client, clock)


@pytest.fixture
async def broker(redis_server: RedisServer, clock: FakeClock) -> AsyncIterator[RedisBroker]:
    """An open broker on the shared server, with the time of `clock`."""
    async with open_redis(redis_server.url, clock) as broker:
        yield broker
