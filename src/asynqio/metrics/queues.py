"""Metrics of the queues and servers of a store, read at each scrape."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from asynqio.brokers.contract.processes import keep, reset_after_fork
from asynqio.core.info import QueueStats, ServerInfo
from asynqio.errors import AsynqioError, QueueNotFound
from asynqio.metrics.queue_families import Snapshot, families
from asynqio.sync.portal import Portal

if TYPE_CHECKING:
    from asynqio.brokers.contract.broker import Store
    from asynqio.inspector.inspector import Inspector
    from asynqio.sync.inspector import Inspector as SyncInspector

log = logging.getLogger("asynqio.metrics")

T = TypeVar("T")

#: Seconds for which a result is cached, so that several scrapers cost the store no more than one.
MAX_AGE = 5.0
#: Timeout in seconds for each part of a scrape.
TIMEOUT = 5.0
#: Seconds for which the memory usage of a queue is cached.
MEMORY_AGE = 60.0


class QueueCollector(Collector):
    """Collects the metrics of all queues and servers of one store. Register it with any registry:

        registry.register(QueueCollector(inspector))

    The collector has its own connection and thread, so it does not need the event loop of the inspector, which may be
    closed or blocked. The cost of a scrape does not depend on the number of tasks. `max_age` and `timeout` are in
    seconds; `memory=False` leaves out the memory usage. `close()` closes the connection; a later scrape opens it
    again.

    A scrape waits for the store: in a coroutine call `await asyncio.to_thread(generate_latest, registry)`.
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
        self._snapshot: Snapshot | None = None
        self._scraped_at = 0.0
        #: Memory usage of each queue in bytes, and when it was read.
        self._sizes: dict[str, tuple[int, float]] = {}
        #: Problems of the last scrape by part, to log each problem once.
        self._problems: dict[str, str] = {}
        reset_after_fork(self)

    @property
    def url(self) -> str:
        """The URL of the store without secrets."""
        return self._store.url

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        """Raises RuntimeError in a thread that runs an event loop; problems of the store become metrics."""
        with self._lock:
            if self._snapshot is None or self._clock.monotonic() - self._scraped_at >= self._max_age:
                if self._portal is None:
                    self._portal = Portal()
                self._snapshot = self._portal.call(self._scrape)
                self._scraped_at = self._clock.monotonic()
            return list(families(self._snapshot))

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

    def _after_fork(self) -> None:
        """The portal's thread does not exist in the child; a store stays open there."""
        keep(self._portal)
        self._lock, self._portal = threading.Lock(), None

    # --- in the portal ----------------------------------------------------------------------------

    async def _scrape(self) -> Snapshot:
        start, problems = self._clock.monotonic(), dict[str, str]()
        names = await self._part("the broker", self._names(), problems)
        servers: list[ServerInfo] | None = None
        stats: list[QueueStats | None] = []
        if names is not None:
            servers, stats = await asyncio.gather(
                self._part("servers", self._store.servers(), problems),
                asyncio.gather(*(self._part(_queue(name), self._stats(name), problems) for name in names)),
            )
        self._report(problems)
        queues = [one for one in stats if one is not None]
        return Snapshot(
            at=self._clock.now(),
            took=self._clock.monotonic() - start,
            queues=queues,
            broken=[name for name in names or () if _queue(name) in problems],
            servers=servers,
            memory={one.queue: self._sizes[one.queue][0] for one in queues if one.queue in self._sizes},
            complete=not problems,
        )

    async def _part(self, part: str, reading: Coroutine[Any, Any, T], problems: dict[str, str]) -> T | None:
        """Read one part; None if it fails. A failure must not affect the other parts."""
        try:
            async with asyncio.timeout(self._timeout):
                return await reading
        except QueueNotFound:  # removed a moment ago
            return None
        except TimeoutError:
            problems[part] = f"no answer within {self._timeout:g} s"
        except Exception as error:
            problems[part] = str(error) if isinstance(error, AsynqioError) else repr(error)
        return None

    async def _names(self) -> list[str]:
        if not self._opened:
            await self._store.__aenter__()
            self._opened = True
        return await self._store.queues()

    async def _stats(self, name: str) -> QueueStats:
        [found] = await self._store.stats([name])
        asked_at = self._sizes.get(name, (0, -MEMORY_AGE))[1]
        if self._memory and self._clock.monotonic() - asked_at >= MEMORY_AGE:
            await self._measure(name)
        return found

    async def _measure(self, name: str) -> None:
        """Read the memory usage, unless it fails (an ACL may forbid it)."""
        try:
            [size] = await self._store.memory_usage([name])
        except AsynqioError as error:
            log.debug(
                "cannot read the memory usage of queue %r: %s",
                name,
                error,
                extra={"event": "metrics_memory_failed", "queue": name, "error": str(error)},
            )
        else:
            self._sizes[name] = size, self._clock.monotonic()

    def _report(self, problems: dict[str, str]) -> None:
        for part, problem in problems.items():
            if self._problems.get(part) != problem:
                log.warning(
                    "cannot read metrics of %s: %s",
                    part,
                    problem,
                    extra={"event": "metrics_read_failed", "part": part, "error": problem},
                )
        for part in self._problems.keys() - problems.keys():
            log.info(
                "metrics of %s are readable again",
                part,
                extra={"event": "metrics_read_recovered", "part": part},
            )
        self._problems = problems


def _queue(name: str) -> str:
    return f"queue {name!r}"
