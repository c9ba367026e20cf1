"""Runs the programs of peers: commands that end, and workers that run until they are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, NamedTuple

import msgspec

from benchmarks.harness.samples import SampleFile

#: Timeout in seconds for the start of a worker.
START_TIMEOUT = 60.0
#: Timeout of a command in seconds.
CALL_TIMEOUT = 600.0


class PeerError(Exception):
    """A program of a peer failed. The text is its last line of output."""


class Workers(NamedTuple):
    """Running workers."""

    pids: list[int]
    #: Raises PeerError if one has ended.
    check: Callable[[], None]


async def call(*command: str) -> str:
    """Run a command and return its output. Raises PeerError if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise PeerError(_last(errors) or f"{command[0]} ended with status {process.returncode}")
    return output.decode()


async def run(program: Sequence[str], command: str, **arguments: object) -> str:
    """Run a command of a peer's program and return the last line of its output."""
    output = await call(*program, command, msgspec.json.encode(arguments).decode())
    return output.strip().rpartition("\n")[2]


@contextlib.asynccontextmanager
async def workers(
    command: Sequence[str], files: Sequence[SampleFile], **arguments: object
) -> AsyncIterator[Workers]:
    """Run one worker per sample file, all started together when ready and killed at the end of the block."""
    crew: list[tuple[Process, IO[bytes]]] = []

    def check() -> None:
        for process, errors in crew:
            if process.returncode is not None:
                errors.seek(0)
                line = _last(errors.read())
                raise PeerError(line or f"a worker ended with status {process.returncode}")

    try:
        for samples in files:
            text = msgspec.json.encode({**arguments, "samples": str(samples.path)}).decode()
            errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
            process = await asyncio.create_subprocess_exec(
                *(*command, "work", text),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # so that its children end too
            )
            crew.append((process, errors))
        for process, _ in crew:
            assert process.stdout is not None
            async with asyncio.timeout(START_TIMEOUT):
                if (await process.stdout.readline()).strip() != b"ready":
                    await process.wait()
                    check()
        for process, _ in crew:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield Workers([process.pid for process, _ in crew], check)
    finally:
        for process, errors in crew:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            errors.close()


def _last(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
