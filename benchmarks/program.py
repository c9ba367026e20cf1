"""A worker in a process of its own: `python -m benchmarks.program URL '{"concurrency": 50}'`.

Says "ready", works until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

import msgspec

from asynqio import Mux, Server, ServerConfig, Task

mux = Mux()


@mux.handle("bench:noop")
async def noop(task: Task) -> None:
    """What is drained."""


@mux.handle("bench:when")
async def when(task: Task) -> float:
    """When the handler started."""
    return time.time()


async def main(url: str, config: ServerConfig) -> None:
    async with Server(url, config=config).running(mux):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def started(url: str, **options: object) -> AsyncIterator[int]:
    """The pid of such a process, from its being ready until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.program", url, msgspec.json.encode(options).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n", "the worker did not start"
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], ServerConfig(**msgspec.json.decode(sys.argv[2]))))
