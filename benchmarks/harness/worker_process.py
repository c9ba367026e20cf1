"""A worker process: `python -m benchmarks.harness.worker_process URL '{"concurrency": 50}' [SAMPLES]`.

It prints "ready" when it is running and stops at the end of its standard input. With `--gate` before the URL, it
prints "ready" after all imports and starts on a line of input. With a sample file, its handlers append to it.
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
from benchmarks.harness.samples import SampleFile

mux = Mux()


class _Output:
    samples: int | None = None

    @classmethod
    def write(cls, value: float) -> None:
        if cls.samples is not None:
            os.write(cls.samples, struct.pack("<d", value))


@mux.handle("bench:noop")
async def noop(task: Task) -> None:
    """The task of the drain cases."""
    _Output.write(time.time())


@mux.handle("bench:when")
async def when(task: Task) -> float:
    """Return when the handler started."""
    return time.time()


@mux.handle("bench:age")
async def age(task: Task) -> None:
    """Append the time from sending to the start of the handler, in seconds."""
    at = time.time()
    _Output.write(at - task.load(float))


async def main(url: str, config: ServerConfig, *, gate: bool) -> None:
    if gate:
        print("ready", flush=True)
        sys.stdin.readline()
    async with Server(url, config=config).running(mux):
        if not gate:
            print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def worker_process(url: str, *, samples: Path | None = None, **options: object) -> AsyncIterator[int]:
    """Run a worker process during the block; yields its pid when it is ready."""
    process = await _launch(url, options, samples)
    try:
        yield process.pid
    finally:
        await _end(process)


@contextlib.asynccontextmanager
async def worker_processes(url: str, files: Sequence[SampleFile], **options: object) -> AsyncIterator[None]:
    """Run one worker process per sample file, all started at the same time."""
    processes = [await _launch(url, options, samples.path, "--gate") for samples in files]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield
    finally:
        for process in processes:
            await _end(process)


async def _launch(url: str, options: object, samples: Path | None, *before: str) -> Process:
    after = [str(samples)] if samples else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.harness.worker_process", *before, url),
        *(msgspec.json.encode(options).decode(), *after),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line == b"ready\n", "the worker did not start"
    return process


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


if __name__ == "__main__":
    gate = sys.argv[1] == "--gate"
    url, options, *samples = sys.argv[1 + gate :]
    if samples:
        _Output.samples = os.open(samples[0], os.O_APPEND | os.O_WRONLY)
    asyncio.run(main(url, ServerConfig(**msgspec.json.decode(options)), gate=gate))
