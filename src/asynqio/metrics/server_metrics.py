"""Metrics of one worker server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from asynqio.core.attempts.ending import Ending
from asynqio.metrics.labels import TYPE_LIMIT, Children, TypeLabels
from asynqio.runtime.events import (
    AttemptEnded,
    Event,
    Events,
    HandlerStuck,
    LeaseLost,
    LeaseReturned,
    LoopBlocked,
    LoopFreed,
    ServerStats,
    TaskRecovered,
)

#: Run times in seconds: from a quick lookup to an hour.
RUN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
#: Wait times in seconds: an idle worker starts within milliseconds, a backlog may last hours.
WAIT_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)


class Measured(Protocol):
    """What `ServerMetrics` needs of a `Server`."""

    events: Events

    def stats_now(self) -> ServerStats | None: ...


class ServerMetrics:
    """Counts the events of a server from now on.

        metrics = ServerMetrics(server)  # a separate registry
        metrics = ServerMetrics(server, prometheus_client.REGISTRY)  # or that of the process

    `type_limit` bounds the number of task types with their own label. `Server(metrics_port=9100)` creates and serves
    an instance.
    """

    def __init__(
        self, server: Measured, registry: CollectorRegistry | None = None, *, type_limit: int = TYPE_LIMIT
    ) -> None:
        self.registry = registry if registry is not None else own_registry()
        into = self.registry
        self._types = TypeLabels(type_limit)
        self._ended = Children(
            Counter(
                "asynqio_attempts_ended",
                "Attempts that ended, by outcome",
                ["type", "queue", "outcome"],
                registry=into,
            )
        )
        self._run = Children(
            Histogram(
                "asynqio_attempt_run_seconds",
                "Run time of attempts",
                ["type"],
                buckets=RUN_BUCKETS,
                registry=into,
            )
        )
        self._wait = Children(
            Histogram(
                "asynqio_task_wait_seconds",
                "Time from pending to the start of an attempt",
                ["type"],
                buckets=WAIT_BUCKETS,
                registry=into,
            )
        )
        self._refused = Counter(
            "asynqio_settlements_refused",
            "Attempts that ended after their lease was lost; their result was rejected",
            registry=into,
        )
        self._lost = Counter("asynqio_leases_lost", "Leases that could not be renewed in time", registry=into)
        self._recovered = Children(
            Counter(
                "asynqio_leases_recovered",
                "Tasks of dead servers that this server recovered",
                ["queue"],
                registry=into,
            )
        )
        self._handed_back = Children(
            Counter(
                "asynqio_tasks_handed_back",
                "Dequeued tasks that were handed back: the server stopped, or did not start them",
                ["queue"],
                registry=into,
            )
        )
        self._stuck = Counter(
            "asynqio_handler_stuck_reports",
            "Reports of handlers that were asked to stop and did not return",
            registry=into,
        )
        self._blocks = Counter(
            "asynqio_event_loop_blocks", "Number of times the event loop was blocked", registry=into
        )
        self._blocked_for = Counter(
            "asynqio_event_loop_blocked_seconds",
            "Seconds for which the event loop was blocked",
            registry=into,
        )
        self._blocked = Gauge(
            "asynqio_event_loop_blocked", "1 while the event loop is blocked", registry=into
        )
        into.register(_ServerStatsCollector(server))
        self.close = server.events.listen(self._on)

    def _on(self, event: Event) -> None:
        match event:
            case AttemptEnded():
                self._count(event)
            case LeaseReturned(message):
                self._handed_back[message.queue,].inc()
            case LeaseLost():
                self._lost.inc()
            case TaskRecovered(message):
                self._recovered[message.queue,].inc()
            case HandlerStuck():
                self._stuck.inc()
            case LoopBlocked():
                self._blocks.inc()
                self._blocked.set(1)
            case LoopFreed(seconds):
                self._blocked_for.inc(seconds)
                self._blocked.set(0)

    def _count(self, event: AttemptEnded) -> None:
        message, ending = event.message, event.ending
        type = self._types.label(message.type)
        self._ended[type, message.queue, ending].inc()
        self._run[type,].observe(max(0.0, event.ended_at - event.started_at))
        if event.pending_since:
            self._wait[type,].observe(max(0.0, event.started_at - event.pending_since))
        if ending is Ending.ABORTED:
            self._handed_back[message.queue,].inc()
        elif ending is Ending.REFUSED:
            self._refused.inc()


class _ServerStatsCollector(Collector):
    """Values that are read at each scrape."""

    def __init__(self, server: Measured) -> None:
        self._server = server

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        stats = self._server.stats_now()
        if stats is None:
            return
        yield InfoMetricFamily(
            "asynqio_server",
            "The id of this worker server",
            {"id": stats.server},
        )
        for name, help, value in (
            ("asynqio_slots", "Number of slots", stats.slots),
            ("asynqio_slots_busy", "Number of busy slots", stats.busy),
            (
                "asynqio_handlers_stuck",
                "Handlers that were asked to stop and have not returned",
                stats.stuck,
            ),
            (
                "asynqio_settlements_waiting",
                "Attempts that ended and are not settled yet",
                stats.unsettled,
            ),
            (
                "asynqio_heartbeat_age_seconds",
                "Time since the last heartbeat of the server",
                stats.heartbeat_age,
            ),
        ):
            yield GaugeMetricFamily(name, help, value=value)


def own_registry() -> CollectorRegistry:
    """A registry with the standard process and platform collectors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
