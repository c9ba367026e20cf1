"""Tasks in: one at a time, from many callers, many at a time."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from asynqio import Client, EnqueueError, Task
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.place import fresh_store
from benchmarks.rows import CALLERS

#: About 100 bytes, as most payloads are.
PAYLOAD = {"to": "ann@example.org", "subject": "Welcome", "template": "welcome-2026", "customer": 4711}


def noop_task() -> Task:
    return Task.json("bench:noop", PAYLOAD)


def cases(kind: str) -> list[Case]:
    return [
        Case(OURS, "enqueue", partial(_one_by_one, kind)),
        Case(OURS, "enqueue, many callers", partial(_many_callers, kind)),
        Case(OURS, "enqueue_many", partial(_in_bulk, kind)),
    ]


async def _one_by_one(kind: str, size: Size) -> Figures:
    async with fresh_store(kind) as store:
        client = Client(store)
        began = time.perf_counter()
        for _ in range(size.one_by_one):
            await client.enqueue(noop_task())
        return {"enqueue one by one, tasks/s": size.one_by_one / (time.perf_counter() - began)}


async def _many_callers(kind: str, size: Size) -> Figures:
    each = size.callers // CALLERS

    async def caller(client: Client) -> None:
        for _ in range(each):
            await client.enqueue(noop_task())

    async with fresh_store(kind) as store:
        client = Client(store)
        began = time.perf_counter()
        await asyncio.gather(*[caller(client) for _ in range(CALLERS)])
        taken = time.perf_counter() - began
    return {f"enqueue from {CALLERS} callers, tasks/s": each * CALLERS / taken}


async def _in_bulk(kind: str, size: Size) -> Figures:
    figures = {}
    for chunk, name in ((1_000, "1,000 a call"), (size.drained, "all in one call")):
        async with fresh_store(kind) as store:
            client = Client(store)
            began = time.perf_counter()
            for done in range(0, size.drained, chunk):
                tasks = [noop_task() for _ in range(min(chunk, size.drained - done))]
                answers = await client.enqueue_many(tasks)
                assert not any(isinstance(answer, EnqueueError) for answer in answers)
            taken = time.perf_counter() - began
        figures[f"enqueue_many, {name}, tasks/s"] = size.drained / taken
    return figures
