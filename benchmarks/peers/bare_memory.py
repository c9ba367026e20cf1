"""The upper bound in memory: an asyncio.Queue and one asyncio task per job."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from benchmarks.cases.enqueue import noop_task
from benchmarks.harness.case import RAW, Case, Size, Values
from benchmarks.harness.row_names import SLOTS


def cases() -> list[Case]:
    return [
        Case(RAW, "enqueue", _enqueue),
        *[Case(RAW, f"drain, {slots} slots", partial(_drain, slots)) for slots in SLOTS],
    ]


async def _enqueue(size: Size) -> Values:
    queue: asyncio.Queue[object] = asyncio.Queue()
    began = time.perf_counter()
    for _ in range(size.one_by_one):
        await queue.put(noop_task())
    return {"enqueue one by one, tasks/s": size.one_by_one / (time.perf_counter() - began)}


async def _drain(slots: int, size: Size) -> Values:
    queue: asyncio.Queue[object] = asyncio.Queue()
    for _ in range(size.drained):
        queue.put_nowait(noop_task())
    free = asyncio.Semaphore(slots)
    running: set[asyncio.Task[None]] = set()

    async def handler(job: object) -> None:
        return None

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        free.release()

    began = time.perf_counter()
    while not queue.empty():
        await free.acquire()
        task = asyncio.create_task(handler(await queue.get()))
        running.add(task)
        task.add_done_callback(ended)
    await asyncio.gather(*running)
    return {f"drain, {slots} slots, tasks/s": size.drained / (time.perf_counter() - began)}
