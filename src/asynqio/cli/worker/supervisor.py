"""Keeps N child processes running: starts dead ones again, hands signals on, ends when they have ended.

    signal      what the supervisor does with it
    TERM, INT   the children get TERM; whoever is still there after the shutdown timeout is killed
    INT again   the children get INT, which tells them to hurry; a third one kills them
    TSTP        to the children: take no new tasks. CONT is handed on as well

Children are process groups of their own, so a Ctrl-C of the terminal reaches the supervisor alone and no
child hears it twice. When the supervisor is killed they see the end of their lifeline.

Nothing is polled: everything here waits for a signal, for the end of a child or for a moment in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

from asynqio.cli.worker.children import Child, Life
from asynqio.cli.worker.lifeline import SLOT, VARIABLE

log = logging.getLogger("asynqio.supervisor")

#: Seconds on top of the shutdown timeout before a child is killed: its last settlements may take five.
GRACE = 10.0
#: The exit status of a child whose command line or configuration is wrong: starting it again is no use.
WRONG = 2


class Patience(NamedTuple):
    """How often a child is started again. Durations are seconds."""

    first: float = 0.1
    cap: float = 30.0
    #: A child that lived so long was well: the count of deaths begins anew.
    well: float = 10.0
    #: So many deaths in a row, each after a short life, are a crash loop (with the above: about a minute).
    deaths: int = 10

    def delay(self, deaths: int) -> float:
        """How long to wait after so many deaths in a row."""
        wait: float = min(self.first * 2 ** (deaths - 1), self.cap)
        return wait


TIMEOUT = Patience()


class Supervisor:
    """Runs `command` in `processes` children. Used once."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        *,
        shutdown_timeout: float,
        reloading: bool = False,
        patience: Patience = TIMEOUT,
        grace: float = GRACE,
    ) -> None:
        self._command = command
        self._processes = processes
        self._kill_after = shutdown_timeout + grace
        self._grace = grace
        self._reloading = reloading
        self._patience = patience
        self._children: dict[int, Child] = {}
        self._ending = asyncio.Event()
        self._interrupts = 0
        self._status = 0
        #: Set and replaced when the code changes; cuts a back-off short.
        self._changed = asyncio.Event()

    async def run(self, changes: AsyncIterator[Sequence[str]] | None = None) -> int:
        """Until a signal ends it, or there is no hope; the exit status. Each item of `changes` (names of
        files) starts the children again."""
        read_end, write_end = os.pipe()
        try:
            with self._signals():
                log.info("supervisor %d starts %d workers", os.getpid(), self._processes)
                await self._run(read_end, changes)
        finally:
            os.close(read_end)
            os.close(write_end)
        log.info("supervisor ends with status %d", self._status)
        return self._status

    async def _run(self, lifeline: int, changes: AsyncIterator[Sequence[str]] | None) -> None:
        watching = asyncio.create_task(self._reload(changes)) if changes is not None else None
        keepers = [asyncio.create_task(self._keep(slot, lifeline)) for slot in range(1, self._processes + 1)]
        ended = asyncio.gather(*keepers)
        first: list[asyncio.Future[Any]] = [ended, *([watching] if watching else [])]
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if watching is not None and watching.done() and watching.exception() is not None:
                self._end()
            await ended
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
                if not watching.cancelled() and (error := watching.exception()) is not None:
                    raise error

    # --- children ---------------------------------------------------------------------------------

    async def _keep(self, slot: int, lifeline: int) -> None:
        """One child after the other, until the end."""
        deaths = 0
        while not self._ending.is_set():
            changed = self._changed
            life = await self._live(slot, lifeline, changed)
            if self._ending.is_set():
                self._account(slot, life)
                return
            if life.restarted:
                deaths = 0
                continue
            deaths = 1 if life.seconds >= self._patience.well else deaths + 1
            if self._hopeless(slot, life, deaths):
                return
            if self._reloading and life.status == WRONG:
                log.warning("worker %d is started again when a file changes", slot)
                await self._either(changed, None)
                continue
            delay = self._patience.delay(deaths)
            log.warning("worker %d (%d) %s; started again in %.1f s", slot, life.pid, life.how, delay)
            await self._either(changed, delay)

    async def _live(self, slot: int, lifeline: int, changed: asyncio.Event) -> Life:
        environment = {**os.environ, VARIABLE: str(lifeline), SLOT: str(slot)}
        try:
            child = await Child.start(self._command, environment, lifeline)
        except OSError as error:  # no memory, no free process number: that passes
            log.error("worker %d could not be started: %s", slot, error)
            return Life(0, 1, 0.0, restarted=False)
        self._children[slot] = child
        log.info("worker %d is process %d", slot, child.pid)
        # What happened while it was being started did not reach it.
        if self._ending.is_set():
            child.end(self._kill_after)
        elif changed.is_set():
            child.end(self._kill_after, restart=True)
        try:
            return await child.ended()
        finally:
            del self._children[slot]

    def _hopeless(self, slot: int, life: Life, deaths: int) -> bool:
        """Whether to give up, and then everything."""
        if self._reloading:
            return False
        if life.status == WRONG:
            log.error("worker %d could not be configured: stopping", slot)
            self._status = WRONG
        elif deaths >= self._patience.deaths:
            log.error("worker %d died %d times in a row (at last it %s): stopping", slot, deaths, life.how)
            self._status = self._status or 1
        else:
            return False
        self._end()
        return True

    def _account(self, slot: int, life: Life) -> None:
        # A child that TERM reached before it could listen has ended as it was told.
        if life.status not in (0, -signal.SIGTERM) and not self._status:
            log.error("worker %d (%d) %s while it was stopped", slot, life.pid, life.how)
            self._status = 1

    async def _either(self, changed: asyncio.Event, seconds: float | None) -> None:
        """Until the end, a change, or so many seconds from now."""
        waits = [asyncio.create_task(event.wait()) for event in (self._ending, changed)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _reload(self, changes: AsyncIterator[Sequence[str]]) -> None:
        async for names in changes:
            log.info("%s changed: starting the workers again", ", ".join(names[:3]) or "a file")
            self._changed.set()
            self._changed = asyncio.Event()
            for child in list(self._children.values()):
                child.end(self._kill_after, restart=True)

    # --- signals ----------------------------------------------------------------------------------

    def _end(self) -> None:
        """Tell every child to finish what it has."""
        if self._ending.is_set():
            return
        self._ending.set()
        for child in list(self._children.values()):
            child.end(self._kill_after)

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            log.info("ending when the running tasks are done; press Ctrl-C again to hurry")
            self._end()
            return
        self._end()
        for child in list(self._children.values()):
            if self._interrupts == 2:
                child.hurry(self._grace)
            else:
                child.kill()

    def _hand_on(self, number: signal.Signals) -> None:
        for child in list(self._children.values()):
            child.send(number)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        for number in (signal.SIGTSTP, signal.SIGCONT):
            loop.add_signal_handler(number, self._hand_on, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTSTP, signal.SIGCONT):
                loop.remove_signal_handler(number)
