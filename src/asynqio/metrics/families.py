"""The figures of queues and servers as metrics: Go's seven under their own names, and ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from asynqio.core.info import QueueStats, ServerInfo
from asynqio.core.task.message import TaskState


class Snapshot(msgspec.Struct, frozen=True):
    """What one look at a store has found."""

    #: When, by the store's clock.
    at: float
    #: How long it took, in seconds.
    took: float
    queues: Sequence[QueueStats] = ()
    #: Queues whose figures could not be had.
    broken: Sequence[str] = ()
    #: None: could not be had.
    servers: Sequence[ServerInfo] | None = None
    #: About how many bytes each queue takes; only of queues for which it is known.
    memory: Mapping[str, int] = {}
    #: Whether the store answered everything.
    complete: bool = False


def families(found: Snapshot) -> Iterator[Metric]:
    """All metrics of a snapshot."""
    yield from _of_go(found)
    yield from _of_queues(found.queues)
    if found.servers is not None:
        yield from _of_servers(found, found.servers)
    yield GaugeMetricFamily(
        "asynqio_scrape_success", "1 when everything could be read from the broker", value=found.complete
    )
    yield GaugeMetricFamily(
        "asynqio_scrape_duration_seconds", "How long the last look at the broker took", value=found.took
    )
    readable = _gauge("asynqio_scrape_queue_success", "1 when the figures of the queue could be read")
    for stats in found.queues:
        readable.add_metric([stats.queue], 1)
    for queue in found.broken:
        readable.add_metric([queue], 0)
    yield readable


def _of_go(found: Snapshot) -> Iterator[Metric]:
    """Names, types and labels of Go's x/metrics, so that its alerts and dashboards go on working (spec: tools
    inventory, 3.1). Two of its gauges are called like counters; the state `aggregating` is missing there."""
    states = _gauge("asynq_tasks_enqueued_total", "Tasks in each state now (a gauge, as in Go)", "state")
    size = _gauge("asynq_queue_size", "Tasks in the queue, in whatever state")
    latency = _gauge("asynq_queue_latency_seconds", "Age of the oldest pending task")
    memory = _gauge("asynq_queue_memory_usage_approx_bytes", "About what the queue takes, from a sample")
    processed = _counter("asynq_tasks_processed", "Attempts that ended, good or bad")
    failed = _counter("asynq_tasks_failed", "Attempts that failed")
    paused = _gauge("asynq_queue_paused_total", "1 while the queue is paused (a gauge, as in Go)")
    for stats in found.queues:
        queue = [stats.queue]
        for state in TaskState:
            states.add_metric([stats.queue, state.value], getattr(stats, state.value))
        size.add_metric(queue, stats.size)
        latency.add_metric(queue, stats.latency)
        processed.add_metric(queue, stats.processed_total)
        failed.add_metric(queue, stats.failed_total)
        paused.add_metric(queue, stats.paused)
        if stats.queue in found.memory:
            memory.add_metric(queue, found.memory[stats.queue])
    yield from (states, size, latency, memory, processed, failed, paused)


def _of_queues(queues: Sequence[QueueStats]) -> Iterator[Metric]:
    tasks = _gauge("asynqio_queue_tasks", "Tasks in each state now", "state")
    groups = _gauge("asynqio_queue_groups", "Groups that hold tasks")
    oldest = _gauge("asynqio_queue_oldest_pending_seconds", "How long the oldest pending task has waited")
    paused = _gauge("asynqio_queue_paused", "1 while the queue is paused")
    processed = _counter("asynqio_queue_processed", "Attempts that ended, good or bad")
    failed = _counter("asynqio_queue_failed", "Attempts that failed")
    evicted = _counter(
        "asynqio_queue_evicted", "Archived tasks dropped because the archive is full or they were too old"
    )
    quarantined = _counter("asynqio_queue_quarantined", "Stored bytes that were no task")
    for stats in queues:
        queue = [stats.queue]
        for state in TaskState:
            tasks.add_metric([stats.queue, state.value], getattr(stats, state.value))
        groups.add_metric(queue, stats.groups)
        oldest.add_metric(queue, stats.latency)
        paused.add_metric(queue, stats.paused)
        processed.add_metric(queue, stats.processed_total)
        failed.add_metric(queue, stats.failed_total)
        evicted.add_metric(queue, stats.evicted_total)
        quarantined.add_metric(queue, stats.quarantined_total)
    yield from (tasks, groups, oldest, paused, processed, failed, evicted, quarantined)


def _of_servers(found: Snapshot, servers: Sequence[ServerInfo]) -> Iterator[Metric]:
    """Sums over all worker servers: a label for each would be a new one with every restart."""
    alive = GaugeMetricFamily("asynqio_servers", "Worker servers that show signs of life", labels=["status"])
    counts = {"active": 0, "stopped": 0}
    for card in servers:
        counts[card.status] = counts.get(card.status, 0) + 1
    for status, count in counts.items():
        alive.add_metric([status], count)
    yield alive
    working = _gauge("asynqio_queue_servers", "Worker servers that take tasks of the queue")
    for stats in found.queues:
        count = sum(card.status == "active" and stats.queue in card.queues for card in servers)
        working.add_metric([stats.queue], count)
    yield working
    slots, busy = sum(card.concurrency for card in servers), sum(len(card.workers) for card in servers)
    yield GaugeMetricFamily("asynqio_server_slots", "Attempts that all of them may run at once", value=slots)
    yield GaugeMetricFamily("asynqio_server_slots_busy", "Attempts that they run now", value=busy)
    stuck = sum(worker.stuck for card in servers for worker in card.workers)
    yield GaugeMetricFamily(
        "asynqio_server_handlers_stuck", "Handlers that were told to stop and are still there", value=stuck
    )
    ages = [max(0.0, found.at - card.at) for card in servers if card.at]
    age = GaugeMetricFamily(
        "asynqio_server_heartbeat_age_seconds", "Since the quietest of them last showed itself"
    )
    if ages:
        age.add_metric([], max(ages))
    yield age


def _gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, labels=["queue", *labels])


def _counter(name: str, help: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, help, labels=["queue"])
