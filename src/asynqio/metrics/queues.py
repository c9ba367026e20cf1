"""Queues and servers as metrics, looked up in the store when somebody scrapes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from asynqio.core.info import QueueStats, ServerInfo
from asynqio.errors import AsynqioError, QueueNotFound
from asynqio.metrics.families import Snapshot, families
from asynqio.sync.portal import Portal

if TYPE_CHECKING:
    from asynqio.brokers.contract.broker import Store
    from asynqio.inspector.inspector import Inspector
    from asynqio.sync.inspector import Inspector as SyncInspector

log = logging.getLogger("asynqio.metrics")

T = TypeVar("T")

#: Seconds for which an answer is given again: several scrapers cost the store no more than one.
MAX_AGE = 5.0
#: Seconds that a store may take for any part of the answer.
TIMEOUT = 5.0
#: Seconds for which a memory figure is given again.
MEMORY_AGE = 60.0


class QueueCollector(Collector):
    """All queues and servers of one store, for any registry.

        registry.register(QueueCollector(inspector))

    Looks through a connection of its own, from a thread of its own, so it does not matter which loop the inspector
    belongs to, whether it is open, or whether that loop is blocked. The cost of a scrape does not depend on how
    many tasks there are. `close()` closes the connection; a later scrape opens it again.

    In a coroutine call `await asyncio.to_thread(generate_latest, registry)`: a scrape waits for the store.
    """

    def __init__(
        self,
        inspector: Inspector | SyncInspector,
        *,
        max_age: float = MAX_AGE,
        timeout: float = TIMEOUT,
        memory: bool = True,
    ) -> None:
        self._store: Store = inspector.broker.clone()
        self._clock = self._store.clock
        self._max_age = max_age
        self._timeout = timeout
        self._memory = memory
        self._lock = threading.Lock()
        self._portal: Portal | None = None
        self._opened = False
        self._found: Snapshot | None = None
        self._looked_at = 0.0
        #: What each queue took, and when that was asked.
        self._sizes: dict[str, tuple[int, float]] = {}
        #: What could not be had at the last look: said once, not at every scrape.
        self._problems: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The store, without secrets."""
        return self._store.url

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        """Raises RuntimeError on a thread that runs an event loop, and nothing else."""
        with self._lock:
            if self._found is None or self._clock.monotonic() - self._looked_at >= self._max_age:
                if self._portal is None:
                    self._portal = Portal()
                self._found = self._portal.call(self._look)
                self._looked_at = self._clock.monotonic()
            return list(families(self._found))

    def close(self) -> None:
        with self._lock:
            if self._portal is None:
                return
            portal, self._portal = self._portal, None
            try:
                if self._opened:
                    self._opened = False
                    portal.call(self._store.__aexit__, None, None, None)
            finally:
                portal.close()

    # --- in the portal ----------------------------------------------------------------------------

    async def _look(self) -> Snapshot:
        start, problems = self._clock.monotonic(), dict[str, str]()
        names = await self._part("the broker", self._names(), problems)
        servers: list[ServerInfo] | None = None
        answers: list[QueueStats | None] = []
        if names is not None:
            servers, answers = await asyncio.gather(
                self._part("servers", self._store.servers(), problems),
                asyncio.gather(*(self._part(_queue(name), self._figures(name), problems) for name in names)),
            )
        self._report(problems)
        queues = [stats for stats in answers if stats is not None]
        return Snapshot(
            at=self._clock.now(),
            took=self._clock.monotonic() - start,
            queues=queues,
            broken=[name for name in names or () if _queue(name) in problems],
            servers=servers,
            memory={
                stats.queue: self._sizes[stats.queue][0] for stats in queues if stats.queue in self._sizes
            },
            complete=not problems,
        )

    async def _part(self, what: str, part: Coroutine[Any, Any, T], problems: dict[str, str]) -> T | None:
        """A part of the answer, or None: what goes wrong with it must not cost the other parts anything."""
        try:
            async with asyncio.timeout(self._timeout):
                return await part
        except QueueNotFound:  # dropped a moment ago
            return None
        except TimeoutError:
            problems[what] = f"no answer within {self._timeout:g} s"
        except Exception as error:
            problems[what] = str(error) if isinstance(error, AsynqioError) else repr(error)
        return None

    async def _names(self) -> list[str]:
        if not self._opened:
            await self._store.__aenter__()
            self._opened = True
        return await self._store.queues()

    async def _figures(self, name: str) -> QueueStats:
        [stats] = await self._store.stats([name])
        asked_at = self._sizes.get(name, (0, -MEMORY_AGE))[1]
        if self._memory and self._clock.monotonic() - asked_at >= MEMORY_AGE:
            await self._measure(name)
        return stats

    async def _measure(self, name: str) -> None:
        """One figure that cannot be had (an ACL may forbid it) must not cost the others."""
        try:
            [size] = await self._store.memory_usage([name])
        except AsynqioError as error:
            log.debug("the memory of queue %r cannot be read: %s", name, error)
        else:
            self._sizes[name] = size, self._clock.monotonic()

    def _report(self, problems: dict[str, str]) -> None:
        for what, problem in problems.items():
            if self._problems.get(what) != problem:
                log.warning("metrics of %s cannot be read: %s", what, problem)
        for what in self._problems.keys() - problems.keys():
            log.info("metrics of %s can be read again", what)
        self._problems = problems


def _queue(name: str) -> str:
    return f"queue {name!r}"
