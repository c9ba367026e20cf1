"""A worker in a process of its own: `python -m benchmarks.program URL '{"concurrency": 50}' [JOURNAL]`.

Says "ready" when it works, and works until its standard input ends. With `--gate` before the URL it says so
when everything is imported, and starts on a line of input. With a journal, handlers write into it as those of
other systems do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from asynqio import Mux, Server, ServerConfig, Task
from benchmarks.journal import Journal

mux = Mux()


class _Notes:
    journal: int | None = None

    @classmethod
    def write(cls, value: float) -> None:
        if cls.journal is not None:
            os.write(cls.journal, struct.pack("<d", value))


@mux.handle("bench:noop")
async def noop(task: Task) -> None:
    """What is drained."""
    _Notes.write(time.time())


@mux.handle("bench:when")
async def when(task: Task) -> float:
    """When the handler started."""
    return time.time()


@mux.handle("bench:age")
async def age(task: Task) -> None:
    """How long after it was sent the handler started, into the journal."""
    at = time.time()
    _Notes.write(at - task.load(float))


async def main(url: str, config: ServerConfig, *, gate: bool) -> None:
    if gate:
        print("ready", flush=True)
        sys.stdin.readline()
    async with Server(url, config=config).running(mux):
        if not gate:
            print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def started(url: str, *, journal: Path | None = None, **options: object) -> AsyncIterator[int]:
    """The pid of such a process, from its being ready until the end of the block."""
    process = await _launched(url, options, journal)
    try:
        yield process.pid
    finally:
        await _ended(process)


@contextlib.asynccontextmanager
async def gathered(url: str, journals: Sequence[Journal], **options: object) -> AsyncIterator[None]:
    """A process for each journal, started at once."""
    processes = [await _launched(url, options, journal.path, "--gate") for journal in journals]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield
    finally:
        for process in processes:
            await _ended(process)


async def _launched(url: str, options: object, journal: Path | None, *before: str) -> Process:
    after = [str(journal)] if journal else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.program", *before, url),
        *(msgspec.json.encode(options).decode(), *after),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await process.stdout.readline()
    assert said == b"ready\n", "the worker did not start"
    return process


async def _ended(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


if __name__ == "__main__":
    gate = sys.argv[1] == "--gate"
    url, options, *journal = sys.argv[1 + gate :]
    if journal:
        _Notes.journal = os.open(journal[0], os.O_APPEND | os.O_WRONLY)
    asyncio.run(main(url, ServerConfig(**msgspec.json.decode(options)), gate=gate))
