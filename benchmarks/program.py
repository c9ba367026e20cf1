"""A worker in a process of its own: `python -m benchmarks.program URL '{"concurrency": 50}' [JOURNAL]`.

Says "ready" when it works, and works until its standard input ends. With `--gate` before the URL it says so
when everything is imported, starts on a line of input, and at the end says when its first handler ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from asynqio import Mux, Server, ServerConfig, Task

mux = Mux()


class _Notes:
    """What the handlers remember."""

    began = 0.0
    journal = -1


@mux.handle("bench:noop")
async def noop(task: Task) -> None:
    """What is drained."""
    if not _Notes.began:
        _Notes.began = time.time()


@mux.handle("bench:when")
async def when(task: Task) -> float:
    """When the handler started."""
    return time.time()


@mux.handle("bench:age")
async def age(task: Task) -> None:
    """How long after it was sent the handler started, into the journal."""
    at = time.time()
    os.write(_Notes.journal, struct.pack("<d", at - task.load(float)))


async def main(url: str, config: ServerConfig, *, gate: bool) -> None:
    if gate:
        print("ready", flush=True)
        sys.stdin.readline()
    async with Server(url, config=config).running(mux):
        if not gate:
            print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        if gate:
            print(_Notes.began, flush=True)


@contextlib.asynccontextmanager
async def started(url: str, *, journal: Path | None = None, **options: object) -> AsyncIterator[int]:
    """The pid of such a process, from its being ready until the end of the block."""
    process = await _launched(
        url, msgspec.json.encode(options).decode(), *([str(journal)] if journal else [])
    )
    try:
        yield process.pid
    finally:
        await _ended(process)


@contextlib.asynccontextmanager
async def gathered(url: str, count: int, **options: object) -> AsyncIterator[list[float]]:
    """So many of them, started at once. After the block: when the first handler of each ran."""
    starts: list[float] = []
    arguments = ("--gate", url, msgspec.json.encode(options).decode())
    processes = [await _launched(*arguments) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield starts
    finally:
        said = [await _ended(process) for process in processes]
    starts += [began for began in map(float, said) if began]


async def _launched(*arguments: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.program", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await process.stdout.readline()
    assert said == b"ready\n", "the worker did not start"
    return process


async def _ended(process: Process) -> bytes:
    assert process.stdin is not None
    process.stdin.close()
    said, _ = await process.communicate()
    return said


if __name__ == "__main__":
    gate = sys.argv[1] == "--gate"
    url, options, *journal = sys.argv[1 + gate :]
    if journal:
        _Notes.journal = os.open(journal[0], os.O_APPEND | os.O_WRONLY)
    asyncio.run(main(url, ServerConfig(**msgspec.json.decode(options)), gate=gate))
