"""SQLite beside a large archive and long operations: pick-up latency, and how long producers wait."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing

from asynqio import Client, Inspector, Task, TaskState, open_broker
from benchmarks.cases.latency import LONGEST, SHORTEST, percentiles
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url
from benchmarks.harness.worker_process import worker_process

#: Tasks that become due at once, and seconds until then.
DUE, DUE_IN = 60_000, 4.0
#: Seconds for which a producer is measured.
MEASURED = 4.0
#: Archived tasks that a lowered limit evicts, and the limit.
SURPLUS, LIMIT = 200_000, 10_000


def cases(kind: str) -> list[Case]:
    if kind != "sqlite":
        return []
    return [
        Case(OURS, "pick-up beside an archive", _pick_up, once=True),
        Case(OURS, "enqueue beside a trim", _beside_a_trim, once=True),
        Case(OURS, "enqueue beside due tasks", _beside_due_tasks, once=True),
    ]


async def _pick_up(size: Size) -> Values:
    """Before each measured task another one is archived, which looks at the full archive."""
    samples = []
    with temporary_url("sqlite") as plain:
        url = f"{plain}?archive_limit={size.behind}"
        await _fill_archive(url, size.behind)
        async with worker_process(url), Client(url, retention=60) as client:
            for _ in range(size.samples):
                await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
                await client.enqueue(Task("bench:age"))  # without a payload: archived at once
                began = time.time()
                task = await client.enqueue(Task("bench:when"))
                samples.append(await client.result(task.id, float, timeout=30) - began)
    return percentiles(f"pick-up beside {size.behind:,} archived tasks", samples)


async def _beside_a_trim(size: Size) -> Values:
    with temporary_url("sqlite") as url:
        await _fill_archive(f"{url}?archive_limit={LIMIT + SURPLUS}", LIMIT + SURPLUS)
        async with Client(url) as client, worker_process(f"{url}?archive_limit={LIMIT}"):
            await client.enqueue(Task("bench:age"))  # archived: the first transaction that trims
            samples = await _enqueue(client, MEASURED)
    return _row(f"enqueue while {SURPLUS:,} archived tasks are evicted", samples)


async def _beside_due_tasks(size: Size) -> Values:
    with temporary_url("sqlite") as url:
        async with Client(url) as client, Inspector(url) as inspector:
            due = time.time() + DUE_IN
            for _ in range(0, DUE, 10_000):
                await client.enqueue_many(
                    [Task("bench:noop") for _ in range(10_000)], process_at=due, queue="later"
                )
            # The queue has no worker that drains it: only its tasks become pending.
            await inspector.pause("later")
            async with worker_process(url, queues={"default": 1, "later": 1}):
                await asyncio.sleep(max(0.0, due - time.time() - 0.1))
                samples = await _enqueue(client, MEASURED)
    return _row(f"enqueue while {DUE:,} tasks become due", samples)


async def _enqueue(client: Client, seconds: float) -> list[float]:
    samples = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        await client.enqueue(Task("bench:noop"))
        samples.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    return samples


def _row(name: str, samples: list[float]) -> Values:
    found = percentiles(name, samples)
    found[f"{name}, worst, ms"] = 1_000 * max(samples)
    return found


async def _fill_archive(url: str, count: int) -> None:
    """Enqueue tasks and archive them with one statement, which takes a fraction of the time of `move_all`."""
    async with open_broker(url) as store:
        for start in range(0, count, 50_000):
            await Client(store).enqueue_many([Task("old") for _ in range(min(50_000, count - start))])
        path = store.url.removeprefix("sqlite://").partition("?")[0]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(
            "UPDATE tasks SET state = ?, at = ?, pending_since = 0", (TaskState.ARCHIVED.value, time.time())
        )
