"""Programs of peers: run to their end, or as workers that go on until they are ended."""

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

from benchmarks.journal import Journal

#: Seconds until a worker has imported what it needs.
START_TIMEOUT = 60.0
#: Seconds that anything may take that ends by itself.
CALL_TIMEOUT = 600.0


class Broken(Exception):
    """A program of a peer ended when it should not have; the text is the last thing it said."""


class Crew(NamedTuple):
    """Workers that run now."""

    pids: list[int]
    #: Raises Broken when one has ended.
    check: Callable[[], None]


async def call(*command: str) -> str:
    """What a command prints. Raises Broken when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise Broken(_last(complained) or f"{command[0]} ended with status {process.returncode}")
    return said.decode()


async def run(command: Sequence[str], what: str, **arguments: object) -> str:
    """The last line that a peer's program prints."""
    said = await call(*command, what, msgspec.json.encode(arguments).decode())
    return said.strip().rpartition("\n")[2]


@contextlib.asynccontextmanager
async def workers(
    command: Sequence[str], journals: Sequence[Journal], **arguments: object
) -> AsyncIterator[Crew]:
    """A process for each journal, started together once all are ready, and killed at the end of the block."""
    crew: list[tuple[Process, IO[bytes]]] = []

    def check() -> None:
        for process, complaints in crew:
            if process.returncode is not None:
                complaints.seek(0)
                said = _last(complaints.read())
                raise Broken(said or f"a worker ended with status {process.returncode}")

    try:
        for journal in journals:
            text = msgspec.json.encode({**arguments, "journal": str(journal.path)}).decode()
            complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
            process = await asyncio.create_subprocess_exec(
                *(*command, "work", text),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # to end its children too
            )
            crew.append((process, complaints))
        for process, _ in crew:
            assert process.stdout is not None
            async with asyncio.timeout(START_TIMEOUT):
                if (await process.stdout.readline()).strip() != b"ready":
                    await process.wait()
                    check()
        for process, _ in crew:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield Crew([process.pid for process, _ in crew], check)
    finally:
        for process, complaints in crew:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            complaints.close()


def _last(complained: bytes) -> str:
    lines = complained.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
