"""What clients say to a Redis server, counted while they say it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import NamedTuple
from urllib.parse import urlsplit

#: Commands that name one of these are somebody presenting itself: they are due whatever happens.
REGISTRY = (b"asynq:servers", b"asynq:workers")


class Traffic(NamedTuple):
    """Commands per second."""

    heartbeats: float
    others: float


async def traffic(url: str, seconds: float) -> Traffic:
    """Counts with MONITOR what comes in for some seconds. What scripts do within the server is not counted."""
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
                    who, _, command = line.partition(b"] ")
                    if who.endswith(b" lua"):
                        continue
                    if any(name in command for name in REGISTRY):
                        heartbeats += 1
                    else:
                        others += 1
    finally:
        writer.close()
    return Traffic(heartbeats / seconds, others / seconds)
