"""The server's side of its lease keeper: starts the process, notifies it, replaces it and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys

import msgspec

from asynqio.blocking import run_blocking
from asynqio.runtime.leases.keeper_job import KeeperJob
from asynqio.runtime.leases.keeper_pipe import KEEPER, QUIT, READY, TICK

log = logging.getLogger("asynqio.server")

#: Seconds that the lease keeper may take to start.
START_TIMEOUT = 30.0
#: Seconds that the lease keeper may take to exit, before it is killed.
STOP_TIMEOUT = 1.0
#: Seconds between two checks whether it has exited.
EXIT_CHECK_INTERVAL = 0.01


class Keeper:
    """One lease keeper process at a time, from `start` to `stop`. Used in the heartbeat's event loop."""

    def __init__(self, job: KeeperJob) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process and wait until it is ready: the first task may hold the GIL. Raises OSError."""
        ready = await self._spawn()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                is_ready = await ready
        except TimeoutError:
            is_ready = False
        if not is_ready:
            log.warning(
                "the lease keeper did not start: a handler that holds the GIL may lose its lease",
                extra={"event": "lease_keeper_missing"},
            )

    async def tick(self) -> None:
        """Notify the process that this one runs Python. Starts another one if it has exited. Raises OSError."""
        if self._process is None:
            return
        status = self._process.poll()
        if status is None:
            self._write(TICK)
            return
        log.warning(
            "the lease keeper exited with status %d; starting another",
            status,
            extra={"event": "lease_keeper_restarted", "status": status},
        )
        old = self._process
        await self._spawn()
        _close_pipes(old)

    async def stop(self) -> None:
        """End the process. Kills it if it does not exit in time."""
        process = self._process
        if process is None:
            return
        self._write(QUIT)  # closing the pipe does not suffice: whatever the handlers forked holds it as well
        _close_pipes(process)
        if not await _exited_within(process, STOP_TIMEOUT):
            process.kill()
            await _exited_within(process, STOP_TIMEOUT)

    async def _spawn(self) -> asyncio.Future[bool]:
        """Start a process. The result is True when it is ready, False if it ended before."""
        process = self._process = await run_blocking(  # it blocks until the new process runs
            subprocess.Popen,
            [sys.executable, "-m", KEEPER, str(os.getpid()), str(self._job.interval)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # Ctrl-C in the terminal must not reach it, not even before it ignores the signal
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._write(msgspec.json.encode(self._job) + b"\n")
        os.set_blocking(process.stdin.fileno(), False)  # a stopped keeper must not stop this thread
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        output = process.stdout

        def read() -> None:
            loop.remove_reader(output)
            if not ready.done():
                ready.set_result(output.read(1) == READY)

        loop.add_reader(output, read)
        return ready

    def _write(self, message: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # A full pipe holds enough ticks. A process that has exited is replaced at the next tick.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            self._process.stdin.write(message)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    asyncio.get_running_loop().remove_reader(process.stdout)
    process.stdin.close()
    process.stdout.close()


async def _exited_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process exits in time. Polls: waiting for it would need a thread."""
    for _ in range(round(seconds / EXIT_CHECK_INTERVAL)):
        if process.poll() is not None:
            return True
        await asyncio.sleep(EXIT_CHECK_INTERVAL)
    return process.poll() is not None
