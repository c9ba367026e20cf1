"""Metric families of queues and servers: the seven metrics of Go's exporter, and those of asynqio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from asynqio.core.info import QueueStats, ServerInfo
from asynqio.core.task.message import TaskState


class Snapshot(msgspec.Struct, frozen=True):
    """The values of one scrape."""

    #: Epoch seconds, by the clock of the store.
    at: float
    #: Duration of the scrape in seconds.
    took: float
    queues: Sequence[QueueStats] = ()
    #: Queues that could not be read.
    broken: Sequence[str] = ()
    #: None if they could not be read.
    servers: Sequence[ServerInfo] | None = None
    #: Approximate memory of each queue in bytes, if known.
    memory: Mapping[str, int] = {}
    #: Whether everything could be read.
    complete: bool = False


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """All metrics of a snapshot."""
    yield from _of_go(snapshot)
    yield from _of_queues(snapshot.queues)
    if snapshot.servers is not None:
        yield from _of_servers(snapshot, snapshot.servers)
    yield GaugeMetricFamily(
        "asynqio_scrape_success", "1 if the broker could be read completely", value=snapshot.complete
    )
    yield GaugeMetricFamily(
        "asynqio_scrape_duration_seconds", "Duration of the last scrape of the broker", value=snapshot.took
    )
    readable = _gauge("asynqio_scrape_queue_success", "1 if the queue could be read")
    for stats in snapshot.queues:
        readable.add_metric([stats.queue], 1)
    for queue in snapshot.broken:
        readable.add_metric([queue], 0)
    yield readable


def _of_go(snapshot: Snapshot) -> Iterator[Metric]:
    """The metrics of Go's x/metrics with its names, types and labels, so that its alerts and dashboards work.

    Go names two of these gauges like counters, and leaves out the state `aggregating`.
    """
    states = _gauge("asynq_tasks_enqueued_total", "Number of tasks per state (a gauge, as in Go)", "state")
    size = _gauge("asynq_queue_size", "Number of tasks in any state")
    latency = _gauge("asynq_queue_latency_seconds", "Age of the oldest pending task")
    memory = _gauge(
        "asynq_queue_memory_usage_approx_bytes", "Approximate memory of the queue, extrapolated from a sample"
    )
    processed = _counter("asynq_tasks_processed", "Attempts that ended, successful or failed")
    failed = _counter("asynq_tasks_failed", "Attempts that failed")
    paused = _gauge("asynq_queue_paused_total", "1 while the queue is paused (a gauge, as in Go)")
    for stats in snapshot.queues:
        queue = [stats.queue]
        for state in TaskState:
            states.add_metric([stats.queue, state.value], getattr(stats, state.value))
        size.add_metric(queue, stats.size)
        latency.add_metric(queue, stats.latency)
        processed.add_metric(queue, stats.processed_total)
        failed.add_metric(queue, stats.failed_total)
        paused.add_metric(queue, stats.paused)
        if stats.queue in snapshot.memory:
            memory.add_metric(queue, snapshot.memory[stats.queue])
    yield from (states, size, latency, memory, processed, failed, paused)


def _of_queues(queues: Sequence[QueueStats]) -> Iterator[Metric]:
    tasks = _gauge("asynqio_queue_tasks", "Number of tasks per state", "state")
    groups = _gauge("asynqio_queue_groups", "Number of groups with tasks")
    oldest = _gauge("asynqio_queue_oldest_pending_seconds", "Age of the longest-waiting pending task")
    paused = _gauge("asynqio_queue_paused", "1 while the queue is paused")
    processed = _counter("asynqio_queue_processed", "Attempts that ended, successful or failed")
    failed = _counter("asynqio_queue_failed", "Attempts that failed")
    evicted = _counter(
        "asynqio_queue_evicted", "Archived tasks deleted because the archive was full or they were too old"
    )
    quarantined = _counter("asynqio_queue_quarantined", "Invalid stored messages that were quarantined")
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


def _of_servers(snapshot: Snapshot, servers: Sequence[ServerInfo]) -> Iterator[Metric]:
    """Sums over all worker servers: a label per server would add a new series with each restart."""
    alive = GaugeMetricFamily("asynqio_servers", "Number of live worker servers", labels=["status"])
    counts = {"active": 0, "stopped": 0}
    for server in servers:
        counts[server.status] = counts.get(server.status, 0) + 1
    for status, count in counts.items():
        alive.add_metric([status], count)
    yield alive
    working = _gauge("asynqio_queue_servers", "Number of worker servers that dequeue from the queue")
    for stats in snapshot.queues:
        count = sum(server.status == "active" and stats.queue in server.queues for server in servers)
        working.add_metric([stats.queue], count)
    yield working
    slots, busy = (
        sum(server.concurrency for server in servers),
        sum(len(server.workers) for server in servers),
    )
    yield GaugeMetricFamily("asynqio_server_slots", "Number of slots of all worker servers", value=slots)
    yield GaugeMetricFamily(
        "asynqio_server_slots_busy", "Number of busy slots of all worker servers", value=busy
    )
    stuck = sum(worker.stuck for server in servers for worker in server.workers)
    yield GaugeMetricFamily(
        "asynqio_server_handlers_stuck", "Handlers that were asked to stop and have not returned", value=stuck
    )
    ages = [max(0.0, snapshot.at - server.at) for server in servers if server.at]
    age = GaugeMetricFamily(
        "asynqio_server_heartbeat_age_seconds", "Age of the oldest heartbeat of a live worker server"
    )
    if ages:
        age.add_metric([], max(ages))
    yield age


def _gauge(name: str, help: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, labels=["queue", *labels])


def _counter(name: str, help: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, help, labels=["queue"])
