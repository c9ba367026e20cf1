"""Pick-up latency on an idle system: from the call of `enqueue` to the start of the handler.

The measurement includes the time to store the task.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Iterable
from functools import partial

from asynqio import Client, Mux, Server, Task
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.samples import sample_file
from benchmarks.harness.stores import temporary_store, temporary_url
from benchmarks.harness.worker_process import worker_process

#: Random pause between two tasks in seconds, so that no timer synchronises with them.
SHORTEST, LONGEST = 0.005, 0.045
#: Tasks that are not counted, at the start.
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


async def _in_process(size: Size) -> Values:
    loop = asyncio.get_running_loop()
    picked_up: asyncio.Future[float] = loop.create_future()

    async def handler(task: Task) -> None:
        picked_up.set_result(time.perf_counter())

    mux = Mux()
    mux.handle("bench:when", handler)
    samples = []
    async with temporary_store("memory") as store, Server(store).running(mux):
        client = Client(store)
        for _ in range(size.samples + WARM_UP):
            await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
            picked_up = loop.create_future()
            began = time.perf_counter()
            await client.enqueue(Task("bench:when"))
            samples.append(await picked_up - began)
    return percentiles("pick-up in process", samples[WARM_UP:])


async def _across_processes(kind: str, size: Size) -> Values:
    samples, answers = [], []
    with temporary_url(kind) as url:
        async with worker_process(url), Client(url, retention=60) as client:
            for _ in range(size.samples + WARM_UP):
                await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
                began = time.time()
                task = await client.enqueue(Task("bench:when"))
                picked_up = await client.result(task.id, float, timeout=10)
                answers.append(time.time() - began)
                samples.append(picked_up - began)
    return {
        **percentiles("pick-up across processes", samples[WARM_UP:]),
        **percentiles("result back across processes", answers[WARM_UP:]),
    }


async def _result_back(size: Size) -> Values:
    found = await _across_processes("redis", size)
    return {row: value for row, value in found.items() if row.startswith("result")}


async def _from_python(size: Size) -> Values:
    """Measured as for other systems: the handler writes the age of the task."""
    count = size.samples + WARM_UP
    with temporary_url("redis") as url, sample_file() as samples:
        async with worker_process(url, samples=samples.path), Client(url) as client:
            for sent in range(count):
                await samples.wait_for(sent)
                await asyncio.sleep(random.uniform(SHORTEST, LONGEST))
                await client.enqueue(Task.json("bench:age", time.time()))
            await samples.wait_for(count)
        return percentiles(row_names.pick_up("Python"), samples.values()[WARM_UP:])


def percentiles(name: str, seconds: Iterable[float]) -> Values:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"{name}, p50, ms": 1_000 * cuts[49], f"{name}, p99, ms": 1_000 * cuts[98]}
