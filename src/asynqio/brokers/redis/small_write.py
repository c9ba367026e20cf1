"""Writes that take little memory, such as pausing a queue: they work at maxmemory too."""

from __future__ import annotations

from typing import Any

from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.errors import StorageFull


async def small_write(redis: RedisClient, command: str, key: str, *args: Arg) -> Any:
    """Run a command that writes one key without expiry. At maxmemory, run it in a script, where Redis accepts it."""
    try:
        return await redis.command(key, command, key, *args)
    except StorageFull:
        return await redis.run(LUA.small_write, [key], [command, *args])
