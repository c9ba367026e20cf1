"""Forwards, recovers and sweeps the tasks of all queues of a store, whose list changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from random import Random

from asynqio.brokers.contract.broker import Store
from asynqio.runtime.duties.forwarder import Forwarder
from asynqio.runtime.duties.section import Reports, Section
from asynqio.runtime.duties.sweeper import INTERVAL, Sweeper
from asynqio.runtime.leases.recoverer import Recoverer
from asynqio.runtime.leases.recovery import Recovery
from asynqio.runtime.service import TIMEOUT, Loop, Service

log = logging.getLogger("asynqio.server")

#: Seconds between two readings of the names of all queues.
READ_EVERY = 5.0
#: Seconds in which new queues are collected, so that a thousand of them change each section once.
COLLECT = 0.05
#: Queues per section. Each signal, each due task and each new queue costs calls about one section; one script call of
#: Redis handles as many. One call of `forward` about 10,000 queues took 30 ms of the event loop (memory), 35 ms of a
#: thread (SQLite), or 240 ms of the event loop and 210 ms of Redis.
SECTION = 100
#: Seconds between the starts of two sections: a hundred at once kept the event loop busy for a second.
PAUSE = 0.01
#: Queues swept per second while nothing is known to be due, and the longest interval between two sweeps of a queue in
#: seconds. To sweep 10,000 queues every 8 s took 3 % of a Redis.
SWEPT_PER_SECOND, LONGEST_INTERVAL = 250, 60.0
#: Seconds between two reports of errors of the same duty: if the store is away, all sections fail at once.
REPORT_EVERY = 1.0


class Housekeeping(Service):
    """Makes due tasks pending, recovers tasks of dead servers, and deletes what has outlived its retention, in every
    queue of a store. It starts with `start`, ends with `stop`, and is used once.

    The queues are served in sections. A queue that comes or goes changes the list of one section, whose loops go on:
    what they know of leases and of the store remains. A change of one queue therefore costs the same whatever the
    number of queues.
    """

    name = "housekeeping"

    def __init__(self, broker: Store, recovery: Recovery, random: Random, *, lease: float) -> None:
        """`lease`: the length in seconds of the leases of this process, and longest interval between two looks for
        lapsed ones."""
        self._broker = broker
        self._recovery = recovery
        self._random = random
        self._lease = lease
        #: All queues, by section. Read only.
        self.sections: list[Section] = []
        self._section_of: dict[str, Section] = {}
        #: Queues that are served until the next reading at least: the one before may have been too early for them.
        self._noticed: set[str] = set()
        self._changed = asyncio.Event()
        self._reading = False
        #: When the names of the queues were read last (time of the event loop).
        self._read_at = -math.inf
        self._ending: set[asyncio.Task[None]] = set()
        self._reports: dict[type, Callable[[], bool]] = {
            kind: Reports(REPORT_EVERY) for kind in (Forwarder, Recoverer, Sweeper)
        }
        self._loop = Loop(self, random)
        self._timeout = TIMEOUT

    async def start(self) -> None:
        """Start. The queues are read a moment later, and again and again if the store is unavailable."""
        await self._loop.start()

    async def stop(self, timeout: float = TIMEOUT) -> None:
        """Stop all loops; a call to the store is cancelled only if it takes longer than `timeout` seconds."""
        self._timeout = timeout
        await self._loop.stop(timeout)

    def notice(self, queue: str) -> None:
        """Serve a queue from now on: call this with each queue that gets a task. A known one costs a look-up."""
        if queue in self._section_of and not self._reading:
            return
        self._noticed.add(queue)
        if queue not in self._section_of:
            self._changed.set()

    async def once(self) -> float:
        self._changed.clear()
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= READ_EVERY:
            await self._read()
            self._read_at = now
        else:
            await self._change([queue for queue in self._noticed if queue not in self._section_of], [])
        return max(self._read_at + READ_EVERY - asyncio.get_running_loop().time(), 0.0)

    async def rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                await asyncio.sleep(COLLECT)

    async def close(self) -> None:
        stopping = [section.stop(self._timeout) for section in self.sections]
        for answer in await asyncio.gather(*stopping, *self._ending, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _read(self) -> None:
        """Serve the queues that the store has now, and those noticed since the last reading."""
        self._reading = True
        try:
            names = await self._broker.queues()
        finally:
            self._reading = False
        wanted = dict.fromkeys([*names, *self._noticed])
        new = [queue for queue in wanted if queue not in self._section_of]
        gone = [queue for queue in self._section_of if queue not in wanted]
        await self._change(new, gone)
        self._noticed.difference_update(wanted)

    async def _change(self, new: Sequence[str], gone: Sequence[str]) -> None:
        """Serve new queues, and those that are gone no more."""
        if not (new or gone):
            return
        lists: dict[Section, dict[str, None]] = {}
        for queue in gone:
            section = self._section_of[queue]
            del lists.setdefault(section, dict.fromkeys(section.queues))[queue]
        left = new
        for section in self.sections:
            room = SECTION - len(lists.get(section, section.queues))
            if left and room > 0:
                lists.setdefault(section, dict.fromkeys(section.queues)).update(dict.fromkeys(left[:room]))
                left = left[room:]
        for section, queues in lists.items():
            self._serve(section, tuple(queues))
        for start in range(0, len(left), SECTION):
            await self._add_section(left[start : start + SECTION])
            await asyncio.sleep(PAUSE)
        interval = min(max(len(self._section_of) / SWEPT_PER_SECOND, INTERVAL), LONGEST_INTERVAL)
        for section in self.sections:
            section.sweeper.interval = interval
        log.debug(
            "serving %d queues: %d more, %d fewer",
            len(self._section_of),
            len(new),
            len(gone),
            extra={
                "event": "queues_changed",
                "count": len(self._section_of),
                "added": len(new),
                "removed": len(gone),
            },
        )

    def _serve(self, section: Section, queues: tuple[str, ...]) -> None:
        """Change the queues of a section; one without queues ends."""
        before = section.queues
        if queues:
            section.serve(queues)
        else:
            self.sections.remove(section)
            ending = asyncio.create_task(section.stop(self._timeout), name="asynqio end of a section")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        for queue in before:
            del self._section_of[queue]
        self._section_of.update(dict.fromkeys(queues, section))

    async def _add_section(self, queues: Sequence[str]) -> None:
        section = Section(
            self._broker, queues, self._recovery, self._random, lease=self._lease, reports=self._reports
        )
        await section.start()
        self.sections.append(section)
        self._section_of.update(dict.fromkeys(queues, section))
