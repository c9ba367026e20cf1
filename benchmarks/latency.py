"""From `enqueue` to the first line of the handler, on a system that has nothing else to do.

The clock starts before the call of `enqueue`, so the time it takes to store the task counts.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterable
from functools import partial

from asynqio import Client, Mux, Server, Task
from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.journal import fresh_journal
from benchmarks.place import fresh_store, fresh_url
from benchmarks.program import started

#: Seconds between two tasks, at random, so that no timer falls in step.
SHORTEST, LONGEST = 0.005, 0.045
#: Tasks before the first one that counts.
WARM_UP = 5


def cases(kind: str) -> list[Case]:
    if kind == "memory":
        return [Case(OURS, "pick-up", _in_process)]
    if kind == "redis":
        return [
            Case(OURS, "pick-up, Python client", _from_python),
            Case(OURS, "result back", _result_back),
        ]
    return [Case(OURS, "pick-up", partial(_across_processes, kind))]


async def _in_process(size: Size) -> Figures:
    loop = asyncio.get_running_loop()
    picked_up: asyncio.Future[float] = loop.create_future()

    async def handler(task: Task) -> None:
        picked_up.set_result(time.perf_counter())

    mux = Mux()
    mux.handle("bench:when", handler)
    samples = []
    async with fresh_store("memory") as store, Server(store).running(mux):
        client = Client(store)
        for _ in range(size.samples + WARM_UP):
            await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
            picked_up = loop.create_future()
            began = time.perf_counter()
            await client.enqueue(Task("bench:when"))
            samples.append(await picked_up - began)
    return figures("pick-up in process", samples[WARM_UP:])


async def _across_processes(kind: str, size: Size) -> Figures:
    samples, answers = [], []
    with fresh_url(kind) as url:
        async with started(url), Client(url, retention=60) as client:
            for _ in range(size.samples + WARM_UP):
                await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
                began = time.time()
                task = await client.enqueue(Task("bench:when"))
                picked_up = await client.result(task.id, float, timeout=10)
                answers.append(time.time() - began)
                samples.append(picked_up - began)
    return {
        **figures("pick-up across processes", samples[WARM_UP:]),
        **figures("result back across processes", answers[WARM_UP:]),
    }


async def _result_back(size: Size) -> Figures:
    found = await _across_processes("redis", size)
    return {row: value for row, value in found.items() if row.startswith("result")}


async def _from_python(size: Size) -> Figures:
    """Measured as it is for others: the handler itself writes down how old the task is."""
    count = size.samples + WARM_UP
    with fresh_url("redis") as url, fresh_journal() as journal:
        async with started(url, journal=journal.path), Client(url) as client:
            for sent in range(count):
                await journal.until(sent)
                await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
                await client.enqueue(Task.json("bench:age", time.time()))
            await journal.until(count)
        return figures(rows.pick_up("Python"), journal.values()[WARM_UP:])


def figures(name: str, seconds: Iterable[float]) -> Figures:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"{name}, p50, ms": 1_000 * cuts[49], f"{name}, p99, ms": 1_000 * cuts[98]}
