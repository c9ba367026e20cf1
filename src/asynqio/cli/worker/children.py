"""One child process of a supervisor, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

log = logging.getLogger("asynqio.supervisor")


class Life(NamedTuple):
    """How a child lived and ended."""

    pid: int
    #: The exit status, or minus the number of the signal that killed it.
    status: int
    seconds: float
    #: It was told to end, and another one shall take its place.
    restarted: bool

    @property
    def how(self) -> str:
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"ended with status {self.status}"


class Child:
    """A process in a process group of its own, which its task processes belong to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._restart = False
        self._killing: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], lifeline: int) -> Self:
        """A child that inherits the read end of the lifeline. Raises OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(lifeline,),
                process_group=0,
            )
        )

    async def ended(self) -> Life:
        status = await self._process.wait()
        if self._killing is not None:
            self._killing.cancel()
        if status != 0:  # what it left behind in its group has nobody to answer to any more
            self._signal_group(signal.SIGKILL)
        return Life(self.pid, status, self._loop.time() - self._since, self._restart)

    def end(self, kill_after: float, *, restart: bool = False) -> None:
        """Ask it to end, and kill it after so many seconds."""
        self._restart = restart
        self.send(signal.SIGTERM)
        self._kill_in(kill_after)

    def hurry(self, kill_after: float) -> None:
        """It is ending already: it shall not wait for its tasks."""
        self.send(signal.SIGINT)
        self._kill_in(kill_after)

    def kill(self) -> None:
        if self._process.returncode is None:
            log.warning("worker process %d is killed", self.pid)
            self._signal_group(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _kill_in(self, seconds: float) -> None:
        if self._killing is not None:
            self._killing.cancel()
        self._killing = self._loop.call_later(seconds, self.kill)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
