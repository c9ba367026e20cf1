"""The one loop that every background duty runs in: again and again, with rests, back-off and a clean stop."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from random import Random
from typing import Any

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.errors import BrokerUnavailable

log = logging.getLogger("asynqio.server")

#: Seconds after the first error of a service, doubled with each further one up to the cap: work goes on within
#: 5 s of the return of a store.
FIRST_BACKOFF, BACKOFF_CAP = 0.1, 2.0
#: Seconds a stopping service may still take for what it has begun.
TIMEOUT = 10.0


class Service(ABC):
    """One duty. `once` does it and says in how many seconds it wants to run again (`math.inf`: when woken)."""

    name = "service"

    @abstractmethod
    async def once(self) -> float: ...

    async def rest(self, seconds: float) -> None:
        """Wait; may be cut short by whatever wakes this service. Cancelled at the stop, unlike `once`."""
        if math.isinf(seconds):
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(seconds)

    async def open(self) -> None:  # noqa: B027 - most need nothing
        """Before the first `once`."""

    async def close(self) -> None:  # noqa: B027
        """After the last."""


class WatchingService(Service):
    """A duty that signals wake. `once` begins with `self.watch.clear()`: what comes after it is not missed."""

    #: Look again after so many seconds even if no signal came: a lost one, or a clock that was set, costs no
    #: more than this.
    poll = 5.0

    def __init__(self, broker: Broker, topics: Iterable[Topic]) -> None:
        self._broker = broker
        self._topics = tuple(topics)
        self._watch: Watch | None = None

    @property
    def watch(self) -> Watch:
        assert self._watch is not None, "open() comes first"
        return self._watch

    async def open(self) -> None:
        self._watch = self._broker.watch(self._topics)

    async def close(self) -> None:
        self.watch.close()

    async def rest(self, seconds: float) -> None:
        await self.watch.wait(seconds)

    def until(self, moment: float | None) -> float:
        """The seconds to rest until then (None: nothing is known to come)."""
        if moment is None:
            return self.poll
        # A timer may fire a hair early by this clock: a millisecond on top saves a useless look.
        return min(max(moment - self._broker.clock.now(), 0.0) + 0.001, self.poll)


class Loop:
    """Runs one service until `stop`. An error never ends it: it is logged, then tried again after a while."""

    def __init__(self, service: Service, random: Random) -> None:
        self.service = service
        self._random = random
        self._resting = False
        self._stopping = False
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.service.open()
        self._task = asyncio.create_task(self._run(), name=f"asynqio {self.service.name}")

    async def stop(self) -> None:
        """Let a running `once` finish, then end: nothing is cancelled in the middle of a broker call, unless
        it takes longer than `TIMEOUT`."""
        self._stopping = True
        if self._task is None:
            return
        if self._resting:
            self._task.cancel()
        _, hanging = await asyncio.wait([self._task], timeout=TIMEOUT)
        if hanging:
            log.warning("%s does not end by itself: it is cancelled", self.service.name)
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self.service.close()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                delay = await self.service.once()
                if self._failures:
                    log.info("%s works again after %d errors", self.service.name, self._failures)
                    self._failures = 0
                if delay > 0 and not self._stopping:
                    await self._pause(self.service.rest(delay))
            except Exception as error:
                await self._pause(asyncio.sleep(self._back_off(error)))

    async def _pause(self, rest: Coroutine[Any, Any, None]) -> None:
        self._resting = True
        try:
            await rest
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._resting = False

    def _back_off(self, error: Exception) -> float:
        self._failures += 1
        delay: float = min(FIRST_BACKOFF * 2 ** min(self._failures - 1, 16), BACKOFF_CAP)
        delay *= 0.5 + self._random.random() / 2
        expected = isinstance(error, BrokerUnavailable)
        log.log(
            logging.WARNING if expected else logging.ERROR,
            "%s: %s; trying again in %.1f s",
            self.service.name,
            error,
            delay,
            exc_info=None if expected else error,
        )
        return delay
