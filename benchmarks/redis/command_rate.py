"""Counts the commands that clients send to a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import NamedTuple
from urllib.parse import urlsplit

#: Commands that contain one of these keys are heartbeats.
REGISTRY = (b"asynq:servers", b"asynq:workers")


class CommandRate(NamedTuple):
    """Commands per second."""

    heartbeats: float
    others: float


async def command_rate(url: str, seconds: float) -> CommandRate:
    """Count commands with MONITOR for `seconds`. Commands inside scripts are not counted."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    heartbeats = others = 0
    try:
        writer.write(b"MONITOR\r\n")
        await reader.readline()
        until = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + seconds):
                while time.monotonic() < until:
                    line = await reader.readline()
                    client, _, command = line.partition(b"] ")
                    if client.endswith(b" lua"):
                        continue
                    if any(name in command for name in REGISTRY):
                        heartbeats += 1
                    else:
                        others += 1
    finally:
        writer.close()
    return CommandRate(heartbeats / seconds, others / seconds)
