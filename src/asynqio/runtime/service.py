"""The loop of every background duty: run, rest, back off after errors, stop cleanly."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.errors import BrokerUnavailable, StoreReplaced

log = logging.getLogger("asynqio.server")

#: Seconds after the first error of a service, doubled with each further one up to the cap: work continues within 5 s
#: of the return of a store.
FIRST_BACKOFF, BACKOFF_CAP = 0.1, 2.0
#: Seconds a stopping service gets to finish its current `once`.
TIMEOUT = 10.0


async def complete(ending: asyncio.Task[None], on_cancel: Callable[[], object] | None = None) -> None:
    """Wait until a task has ended, even if the caller is cancelled meanwhile: then call `on_cancel`, and raise
    CancelledError once the task has ended. Raises what the task raised."""
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait([ending])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is not None:
        raise cancelled
    ending.result()


async def _until_cancelled() -> None:
    await asyncio.get_running_loop().create_future()


class Service(ABC):
    """One duty. `once` performs it and returns the seconds until its next run (`math.inf`: when woken)."""

    name = "service"

    @abstractmethod
    async def once(self) -> float: ...

    async def rest(self, seconds: float) -> None:
        """Wait, unless something wakes the service earlier. Cancelled when the service stops, unlike `once`."""
        if math.isinf(seconds):
            await _until_cancelled()
        await asyncio.sleep(seconds)

    async def open(self) -> None:  # noqa: B027 - most need nothing
        """Called before the first `once`."""

    async def close(self) -> None:  # noqa: B027
        """Called after the last `once`."""


class WatchingService(Service):
    """A duty that signals wake. `once` begins with `self.watch.clear()`, so that no later signal is missed."""

    #: Seconds after which it runs even without a signal: the longest delay if a signal is lost or the clock is set.
    poll = 5.0
    #: The same as a multiple of `poll` if nothing is known to be due and the store certainly reports any change.
    tracked_polls = 12

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

    def watch_instead(self, topics: Iterable[Topic]) -> None:
        """Watch these topics from now on, and run at once. No signal of a topic that stays is missed."""
        self._topics = tuple(topics)
        if self._watch is None:
            return  # opened with these topics
        before, self._watch = self._watch, self._broker.watch(self._topics)
        self._watch.notify()
        before.notify()
        before.close()

    async def rest(self, seconds: float) -> None:
        await self.watch.wait(seconds)

    @property
    def idle_poll(self) -> float:
        """Seconds to rest if nothing is known to be due."""
        return self.poll * self.tracked_polls if self.watch.is_tracked else self.poll

    def until(self, moment: float | None) -> float:
        """Seconds to rest until `moment` (None: no next moment is known)."""
        if moment is None:
            return self.idle_poll
        # A timer may fire slightly early by this clock: one more millisecond saves a useless run.
        return min(max(moment - self._broker.clock.now(), 0.0) + 0.001, self.poll)


class Loop:
    """Runs one service until `stop`. An error never ends it: it is logged, and the service runs again after a back-
    off."""

    def __init__(self, service: Service, random: Random, reports: Callable[[], bool] = lambda: True) -> None:
        """`reports`: whether to log an error now; otherwise its level is DEBUG. Many loops of one kind share it."""
        self.service = service
        self._random = random
        self._reports = reports
        self._resting = False
        self._stopping = False
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the service and start the loop. Raises what `open` raises."""
        await self.service.open()
        self._task = asyncio.create_task(self._run(), name=f"asynqio {self.service.name}")

    async def stop(self, timeout: float = TIMEOUT) -> None:
        """Wait for a running `once`, stop, and close the service: a broker call is cancelled only if it takes longer
        than `timeout` seconds. Callers wait for the same end, which a cancelled caller does not interrupt."""
        self._stopping = True
        if self._task is None:
            return
        if self._ending is None:
            self._ending = asyncio.create_task(
                self._end(self._task, timeout), name=f"asynqio end of {self.service.name}"
            )
        await asyncio.shield(self._ending)

    async def _end(self, task: asyncio.Task[None], timeout: float) -> None:
        if self._resting:
            task.cancel()
        _, hanging = await asyncio.wait([task], timeout=timeout)
        if hanging:
            name = self.service.name
            log.warning(
                "%s did not stop within %g s; cancelling it",
                name,
                timeout,
                extra={"event": "service_cancelled", "service": name},
            )
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.service.close()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                delay = await self.service.once()
                if self._failures:
                    log.log(
                        logging.INFO if self._reports() else logging.DEBUG,
                        "%s recovered after %d errors",
                        self.service.name,
                        self._failures,
                        extra={
                            "event": "service_recovered",
                            "service": self.service.name,
                            "count": self._failures,
                        },
                    )
                    self._failures = 0
                if delay > 0 and not self._stopping:
                    await self._pause(self.service.rest(delay))
            except StoreReplaced:
                # The store has reported it. Only another process can use the present file.
                if not self._stopping:
                    await self._pause(_until_cancelled())
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
        level = logging.WARNING if expected else logging.ERROR
        log.log(
            level if self._reports() else logging.DEBUG,
            "%s: %s; retrying in %.1f s",
            self.service.name,
            error,
            delay,
            exc_info=None if expected else error,
            extra={
                "event": "service_failed",
                "service": self.service.name,
                "error": str(error),
                "retry_in": round(delay, 3),
            },
        )
        return delay
