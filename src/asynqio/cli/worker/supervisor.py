"""Keeps N child processes running: restarts dead ones, forwards signals, and ends when all have ended.

    signal      effect
    TERM, INT   the children get TERM; those still running after the shutdown timeout are killed
    HUP         like TERM, unless the process ignores it (`nohup`)
    second INT  the children get INT, which makes them abandon running tasks; a third INT kills them. After a TERM,
                the first INT has the effect of a second one
    TSTP        forwarded: the children stop fetching tasks. CONT is forwarded as well

Each child has its own process group, so that a Ctrl-C of the terminal reaches only the supervisor and no child gets
the signal twice. If the supervisor is killed, the children notice by the supervisor pipe.

There is no polling: everything here waits for a signal, for the end of a child or for a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

from asynqio.cli.exit_status import FAILED, REFUSED
from asynqio.cli.worker.child import Child, ChildExit
from asynqio.cli.worker.supervisor_pipe import INDEX_VARIABLE, PIPE_VARIABLE

log = logging.getLogger("asynqio.supervisor")

#: Seconds after the shutdown timeout before a child is killed: settling its last tasks may take five.
GRACE = 10.0


class RestartPolicy(NamedTuple):
    """When a dead child is restarted. Durations are seconds."""

    first_delay: float = 0.1
    max_delay: float = 30.0
    #: A child that ran this long resets the count of deaths.
    healthy_after: float = 10.0
    #: This many deaths in a row, each after a short run, are a crash loop (with the above: about a minute).
    max_deaths: int = 10

    def delay(self, deaths: int) -> float:
        """The delay after `deaths` deaths in a row."""
        seconds: float = min(self.first_delay * 2 ** (deaths - 1), self.max_delay)
        return seconds


DEFAULT_POLICY = RestartPolicy()


class Supervisor:
    """Runs `command` in `processes` children. Used once."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        shutdown_timeout: float,
        reloading: bool = False,
        policy: RestartPolicy = DEFAULT_POLICY,
        grace: float = GRACE,
    ) -> None:
        self._command = command
        self._processes = processes
        self._kill_after = shutdown_timeout + grace
        self._grace = grace
        self._reloading = reloading
        self._policy = policy
        self._children: dict[int, Child] = {}
        self._stopping = asyncio.Event()
        self._interrupts = 0
        #: One child may read standard input. A terminal would suspend it, because it is in the background.
        self._stdin = processes == 1 and sys.stdin is not None and not sys.stdin.isatty()
        #: The level of lines about normal operation. A single worker needs none besides its own.
        self._level = logging.INFO if processes > 1 or reloading else logging.DEBUG
        self._status = 0
        #: Set and replaced when the code changes; ends a restart delay early.
        self._changed = asyncio.Event()

    async def run(self, changes: AsyncIterator[Sequence[str]] | None = None) -> int:
        """Run until a signal, a configuration error or a crash loop ends it. Returns the exit status. Each item of
        `changes` (names of files) restarts the children."""
        read_end, write_end = os.pipe()
        try:
            with self._signals():
                log.log(
                    self._level,
                    "supervisor %d starts %d workers",
                    os.getpid(),
                    self._processes,
                    extra={"event": "supervisor_started", "pid": os.getpid(), "processes": self._processes},
                )
                await self._run(read_end, changes)
        finally:
            os.close(read_end)
            os.close(write_end)
        log.log(
            self._level,
            "supervisor exits with status %d",
            self._status,
            extra={"event": "supervisor_stopped", "status": self._status},
        )
        return self._status

    async def _run(self, pipe: int, changes: AsyncIterator[Sequence[str]] | None) -> None:
        watching = asyncio.create_task(self._reload(changes)) if changes is not None else None
        slots = [asyncio.create_task(self._keep_running(index, pipe)) for index in self._indexes()]
        ended = asyncio.gather(*slots)
        first: list[asyncio.Future[Any]] = [ended, *([watching] if watching else [])]
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if watching is not None and watching.done() and watching.exception() is not None:
                self._stop()
            await ended
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
                if not watching.cancelled() and (error := watching.exception()) is not None:
                    raise error

    def _indexes(self) -> range:
        return range(1, self._processes + 1)

    # --- children ---------------------------------------------------------------------------------

    async def _keep_running(self, index: int, pipe: int) -> None:
        """Run one child after another until the supervisor stops."""
        deaths = 0
        while not self._stopping.is_set():
            changed = self._changed
            end = await self._run_child(index, pipe, changed)
            if self._stopping.is_set():
                self._check_exit(index, end)
                return
            if end.restarting:
                deaths = 0
                continue
            deaths = 1 if end.seconds >= self._policy.healthy_after else deaths + 1
            if self._give_up(index, end, deaths):
                return
            if self._reloading and end.status == REFUSED:
                log.warning(
                    "worker %d will be restarted when a file changes",
                    index,
                    extra={"event": "worker_misconfigured", "worker": index, "pid": end.pid},
                )
                await self._wait(changed, None)
                continue
            delay = self._policy.delay(deaths)
            log.warning(
                "worker %d (%d) %s; restarting in %.1f s",
                index,
                end.pid,
                end.reason,
                delay,
                extra={
                    "event": "worker_died",
                    "worker": index,
                    "pid": end.pid,
                    "status": end.status,
                    "retry_in": delay,
                },
            )
            await self._wait(changed, delay)

    async def _run_child(self, index: int, pipe: int, changed: asyncio.Event) -> ChildExit:
        environment = {**os.environ, PIPE_VARIABLE: str(pipe), INDEX_VARIABLE: str(index)}
        try:
            child = await Child.start(self._command, environment, pipe, stdin=self._stdin)
        except OSError as error:  # out of memory or of process ids: temporary
            log.error(
                "worker %d could not be started: %s",
                index,
                error,
                extra={"event": "worker_start_failed", "worker": index, "error": str(error)},
            )
            return ChildExit(0, FAILED, 0.0, restarting=False)
        self._children[index] = child
        log.log(
            self._level,
            "worker %d is process %d",
            index,
            child.pid,
            extra={"event": "worker_started", "worker": index, "pid": child.pid},
        )
        # Catch up on what happened while the child was starting.
        if self._stopping.is_set():
            child.stop(self._kill_after)
        elif changed.is_set():
            child.stop(self._kill_after, restarting=True)
        try:
            return await child.wait()
        finally:
            del self._children[index]

    def _give_up(self, index: int, end: ChildExit, deaths: int) -> bool:
        """Whether restarting this child is pointless. Then the supervisor stops."""
        if self._reloading:
            return False
        if end.status == REFUSED:
            # The child has printed the error itself.
            log.log(
                logging.ERROR if self._processes > 1 else logging.DEBUG,
                "worker %d has a configuration error; stopping",
                index,
                extra={"event": "worker_misconfigured", "worker": index, "pid": end.pid},
            )
            self._status = REFUSED
        elif deaths >= self._policy.max_deaths:
            log.error(
                "worker %d died %d times in a row (it %s); stopping",
                index,
                deaths,
                end.reason,
                extra={
                    "event": "worker_crash_looped",
                    "worker": index,
                    "pid": end.pid,
                    "status": end.status,
                    "count": deaths,
                },
            )
            self._status = self._status or FAILED
        else:
            return False
        self._stop()
        return True

    def _check_exit(self, index: int, end: ChildExit) -> None:
        # A child that got TERM before it installed its signal handlers ended as intended.
        if end.status not in (0, -signal.SIGTERM) and not self._status:
            log.error(
                "worker %d (%d) %s during shutdown",
                index,
                end.pid,
                end.reason,
                extra={
                    "event": "worker_shutdown_failed",
                    "worker": index,
                    "pid": end.pid,
                    "status": end.status,
                },
            )
            self._status = FAILED

    async def _wait(self, changed: asyncio.Event, seconds: float | None) -> None:
        """Wait until the supervisor stops, the code changes, or `seconds` have passed."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, changed)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _reload(self, changes: AsyncIterator[Sequence[str]]) -> None:
        async for names in changes:
            log.info(
                "%s changed; restarting the workers",
                ", ".join(names[:3]) or "a file",
                extra={"event": "code_changed", "files": list(names)},
            )
            self._changed.set()
            self._changed = asyncio.Event()
            for child in list(self._children.values()):
                child.stop(self._kill_after, restarting=True)

    # --- signals ----------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Let every child finish its running tasks and end."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for child in list(self._children.values()):
            child.stop(self._kill_after)

    def _interrupt(self) -> None:
        first = not self._stopping.is_set()
        self._interrupts = 1 if first else max(self._interrupts, 1) + 1
        if first:
            log.info(
                "stopping after the running tasks end; press Ctrl-C again to stop now",
                extra={"event": "supervisor_interrupted"},
            )
            self._stop()
            return
        self._stop()
        for child in list(self._children.values()):
            if self._interrupts == 2:
                child.interrupt(self._grace)
            else:
                child.kill()

    def _forward(self, number: signal.Signals) -> None:
        for child in list(self._children.values()):
            child.send(number)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        ends = [signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            ends.append(signal.SIGHUP)
        for number in ends:
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in (signal.SIGTSTP, signal.SIGCONT):
            loop.add_signal_handler(number, self._forward, number)
        try:
            yield
        finally:
            for number in (*ends, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT):
                loop.remove_signal_handler(number)
