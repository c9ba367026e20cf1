"""Enqueue tasks one by one, from many concurrent callers, and in bulk."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from asynqio import Client, EnqueueError, Task
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.row_names import CALLERS
from benchmarks.harness.stores import temporary_store

#: A typical payload of about 100 bytes.
PAYLOAD = {"to": "ann@example.org", "subject": "Welcome", "template": "welcome-2026", "customer": 4711}


def noop_task() -> Task:
    return Task.json("bench:noop", PAYLOAD)


def cases(kind: str) -> list[Case]:
    return [
        Case(OURS, "enqueue", partial(_one_by_one, kind)),
        Case(OURS, "enqueue, many callers", partial(_many_callers, kind)),
        Case(OURS, "enqueue_many", partial(_in_bulk, kind)),
    ]


async def _one_by_one(kind: str, size: Size) -> Values:
    async with temporary_store(kind) as store:
        client = Client(store)
        began = time.perf_counter()
        for _ in range(size.one_by_one):
            await client.enqueue(noop_task())
        return {"enqueue one by one, tasks/s": size.one_by_one / (time.perf_counter() - began)}


async def _many_callers(kind: str, size: Size) -> Values:
    each = size.callers // CALLERS

    async def caller(client: Client) -> None:
        for _ in range(each):
            await client.enqueue(noop_task())

    async with temporary_store(kind) as store:
        client = Client(store)
        began = time.perf_counter()
        await asyncio.gather(*[caller(client) for _ in range(CALLERS)])
        taken = time.perf_counter() - began
    return {f"enqueue from {CALLERS} callers, tasks/s": each * CALLERS / taken}


async def _in_bulk(kind: str, size: Size) -> Values:
    values = {}
    for chunk, name in ((1_000, "1,000 a call"), (size.drained, "all in one call")):
        async with temporary_store(kind) as store:
            client = Client(store)
            began = time.perf_counter()
            for done in range(0, size.drained, chunk):
                tasks = [noop_task() for _ in range(min(chunk, size.drained - done))]
                answers = await client.enqueue_many(tasks)
                assert not any(isinstance(answer, EnqueueError) for answer in answers)
            taken = time.perf_counter() - began
        values[f"enqueue_many, {name}, tasks/s"] = size.drained / taken
    return values
