"""Names of table rows that several modules use."""

from __future__ import annotations

#: Concurrency of the drains.
SLOTS = (10, 50, 200)
#: Concurrency of rows that are measured at a single concurrency.
COMMON_SLOTS = 50
CALLERS = 50
#: Threads that share one blocking client.
THREADS = 20

ENQUEUE = "enqueue one by one, tasks/s"
ENQUEUE_CALLERS = f"enqueue from {CALLERS} callers, tasks/s"
ENQUEUE_SYNC = "enqueue one by one, sync client, tasks/s"
ENQUEUE_THREADS = f"enqueue from {THREADS} threads, sync client, tasks/s"
ENQUEUE_MANY = "enqueue_many, 1,000 a call, tasks/s"
TWO_PROCESSES = f"drain, 2 processes, {COMMON_SLOTS} slots each, tasks/s"
RESULTS = f"drain, {COMMON_SLOTS} slots, results kept, tasks/s"
FAILING = f"drain, {COMMON_SLOTS} slots, every task fails, tasks/s"
RETRIED = f"drain, {COMMON_SLOTS} slots, every task fails once, tasks/s"
LONG_RUNNING = 10_000
BESIDE_LONG = f"drain, {COMMON_SLOTS} slots, beside {LONG_RUNNING:,} long-running tasks, tasks/s"
FAR = "drain, 200 slots, 2 ms away, tasks/s"
IDLE_COMMANDS = "idle worker, commands/s"
IDLE_OTHER_COMMANDS = "idle worker, commands/s besides heartbeats"
IDLE_CPU = "idle worker, CPU, %"
IDLE_MEMORY = "idle worker, memory, MB"
NEIGHBOUR = "another application's SET beside a worker on 1,000 queues, /s"
NEIGHBOUR_ALONE = "another application's SET without the worker, /s"
BYTES = "Redis memory per pending task, bytes"


def drain(slots: int) -> str:
    return f"drain, {slots} slot{'s' if slots > 1 else ''}, tasks/s"


def case_of(drain: str) -> str:
    """The name of the case that measures such a row."""
    return drain.removesuffix(", tasks/s")


def large(kilobytes: int) -> str:
    return f"drain, {COMMON_SLOTS} slots, {kilobytes} KB payloads, tasks/s"


def behind(count: int) -> str:
    return f"drain, {COMMON_SLOTS} slots, {count:,} tasks behind, tasks/s"


def groups_cpu(groups: int) -> str:
    return f"Redis CPU, 20 joins/s beside {groups:,} groups, %"


def groups_longest(groups: int) -> str:
    return f"longest script beside {groups:,} groups, ms"


def pick_up(producer: str) -> str:
    """The name without the percentile."""
    return f"pick-up from a {producer} client"
