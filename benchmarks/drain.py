"""Tasks out: one server in one process works a full queue off.

Everything is real: a deadline is armed and a context set for each task, leases are kept by the heartbeat
(and the keeper, on SQLite), settlements go in batches. The clock runs from the moment the queue is resumed
until nothing is left in it that is not completed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Unpack

from asynqio import Client, Inspector, Mux, Server, Task, TaskOptions
from asynqio.brokers.base import Store
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.enqueue import noop_task
from benchmarks.place import fresh_store

SLOTS = (10, 50, 200)


def cases(kind: str) -> list[Case]:
    return [
        *[Case(OURS, f"drain, {slots} slots", partial(_no_op, kind, slots)) for slots in SLOTS],
        Case(OURS, "drain, threads", partial(_threads, kind, 50)),
        Case(OURS, "drain, results", partial(_results, kind, 50)),
    ]


class Countdown:
    """Handlers that do nothing but count, and an event at the last one."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def on_loop(self, task: Task) -> None:
        self.left -= 1
        if not self.left:
            self.over.set()

    async def with_result(self, task: Task) -> dict[str, int]:
        await self.on_loop(task)
        return {"sent": 1}

    def in_thread(self, task: Task) -> None:
        self.left -= 1  # atomic enough: a lost count shows as a benchmark that does not end
        if not self.left:
            self._loop.call_soon_threadsafe(self.over.set)


async def fill(store: Store, count: int, **options: Unpack[TaskOptions]) -> str:
    """Put tasks into the paused queue: the id of the last one."""
    await Inspector(store).pause("default")
    answers = await Client(store).enqueue_many((noop_task() for _ in range(count)), **options)
    last = answers[-1]
    assert not isinstance(last, Exception)
    return last.id


async def until_empty(store: Store) -> None:
    """Until everything that was begun is settled."""
    while True:
        [stats] = await store.stats(["default"])
        if stats.size == stats.completed:
            return
        await asyncio.sleep(0.001)


async def _drain(
    kind: str,
    count: int,
    slots: int,
    choose: Callable[[Countdown], Callable[[Task], Any]],
    **options: Unpack[TaskOptions],
) -> float:
    async with fresh_store(kind) as store:
        await fill(store, count, **options)
        countdown = Countdown(count)
        mux = Mux()
        mux.handle("bench:noop", choose(countdown))
        async with Server(store, concurrency=slots).running(mux):
            began = time.perf_counter()
            await Inspector(store).resume("default")
            await countdown.over.wait()
            await until_empty(store)
            return count / (time.perf_counter() - began)


async def _no_op(kind: str, slots: int, size: Size) -> Figures:
    rate = await _drain(kind, size.drained, slots, lambda countdown: countdown.on_loop)
    return {f"drain, {slots} slots, tasks/s": rate}


async def _threads(kind: str, slots: int, size: Size) -> Figures:
    rate = await _drain(kind, size.drained // 2, slots, lambda countdown: countdown.in_thread)
    return {f"drain, plain functions in {slots} threads, tasks/s": rate}


async def _results(kind: str, slots: int, size: Size) -> Figures:
    rate = await _drain(kind, size.drained // 2, slots, lambda countdown: countdown.with_result, retention=60)
    return {f"drain, {slots} slots, results kept, tasks/s": rate}
