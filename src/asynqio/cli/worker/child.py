"""A child process of the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

log = logging.getLogger("asynqio.supervisor")


class ChildExit(NamedTuple):
    """How a child ended."""

    pid: int
    #: The exit status, or the negative number of the signal that killed it.
    status: int
    #: Seconds that it ran.
    seconds: float
    #: The supervisor stopped it in order to start a new one.
    restarting: bool

    @property
    def reason(self) -> str:
        """`exited with status 1`, `was killed by SIGKILL`."""
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"exited with status {self.status}"


class Child:
    """A process in its own process group, which includes its task processes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._restarting = False
        self._kill_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], pipe: int, *, stdin: bool
    ) -> Self:
        """Start a child that inherits the read end of the supervisor pipe, and standard input if `stdin`. Raises
        OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=None if stdin else asyncio.subprocess.DEVNULL,
                pass_fds=(pipe,),
                process_group=0,
            )
        )

    async def wait(self) -> ChildExit:
        """Wait for the end. If the child failed, kills what is left of its process group."""
        status = await self._process.wait()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if status != 0:
            self._signal_group(signal.SIGKILL)
        return ChildExit(self.pid, status, self._loop.time() - self._started_at, self._restarting)

    def stop(self, kill_after: float, *, restarting: bool = False) -> None:
        """Send TERM, and kill the child if it is still running after `kill_after` seconds."""
        self._restarting = restarting
        self.send(signal.SIGTERM)
        self._kill_in(kill_after)

    def interrupt(self, kill_after: float) -> None:
        """Send INT, which makes a stopping child abandon its running tasks; kill it after `kill_after` seconds."""
        self.send(signal.SIGINT)
        self._kill_in(kill_after)

    def kill(self) -> None:
        if self._process.returncode is None:
            log.warning(
                "killing worker process %d", self.pid, extra={"event": "worker_killed", "pid": self.pid}
            )
            self._signal_group(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _kill_in(self, seconds: float) -> None:
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = self._loop.call_later(seconds, self.kill)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
