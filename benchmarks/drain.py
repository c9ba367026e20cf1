"""Tasks out: one server in one process works a full queue off.

Everything is real: a deadline is armed and a context set for each task, leases are kept by the heartbeat
(and the keeper, where there is one), settlements go in batches.

The clock runs from the first line of the first handler until nothing is left that is not completed or put
off. So nobody's start-up counts, and the last settlement does. (For the systems of others it ends with the
last line of the last handler: not all of them let you see what is settled. That is in their favour.) With
tasks behind those that are counted it ends with the last handler that counts here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Unpack

import msgspec

from asynqio import Client, EnqueueError, FixedRetry, Mux, Server, Task, TaskOptions, current, open_broker
from asynqio.brokers.contract.broker import Store
from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.enqueue import PAYLOAD, noop_task
from benchmarks.place import delayed, fresh_url
from benchmarks.rows import COMMON_SLOTS, SLOTS

#: Kilobytes of the larger payloads.
LARGE = (1, 10)
#: Tasks that wait behind those that are counted, besides `Size.behind`.
FEW_BEHIND = 10_000
#: Seconds for one round trip to a server that is not on this machine.
ROUND_TRIP = 0.002
#: Tasks per call when very many are put in.
CHUNK = 20_000


def cases(kind: str) -> list[Case]:
    found = [
        *[Case(OURS, f"drain, {slots} slots", partial(_no_op, kind, slots)) for slots in SLOTS],
        Case(OURS, "drain, threads", partial(_threads, kind, COMMON_SLOTS)),
        Case(OURS, "drain, results", partial(_results, kind)),
    ]
    if kind == "redis":
        found += [
            Case(OURS, rows.case_of(rows.drain(1)), partial(_one_slot, kind)),
            *[Case(OURS, f"drain, {size} KB", partial(_large, kind, size)) for size in LARGE],
            Case(OURS, f"drain, {FEW_BEHIND:,} behind", partial(_behind, kind, False)),
            Case(OURS, "drain, most behind", partial(_behind, kind, True)),
            Case(OURS, "drain, failing", partial(_failing, kind)),
            Case(OURS, "drain, retried", partial(_retried, kind)),
            Case(OURS, "drain, 2 ms away", _far),
        ]
    return found


class Countdown:
    """Handlers that do nothing but count, and an event at the last one."""

    def __init__(self, count: int) -> None:
        self.count = self.left = count
        self.began = self.ended = 0.0
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def on_loop(self, task: Task) -> None:
        if self.left == self.count:
            self.began = time.perf_counter()
        self.left -= 1
        if not self.left:
            self.ended = time.perf_counter()
            self.over.set()

    async def with_result(self, task: Task) -> dict[str, int]:
        await self.on_loop(task)
        return {"sent": 1}

    async def failing(self, task: Task) -> None:
        await self.on_loop(task)
        raise OSError("not today")

    async def failing_once(self, task: Task) -> None:
        if not self.began:
            self.began = time.perf_counter()
        if not current().retried:
            raise OSError("not the first time")
        self.left -= 1
        if not self.left:
            self.over.set()

    def in_thread(self, task: Task) -> None:
        if self.left == self.count:
            self.began = time.perf_counter()
        self.left -= 1  # atomic enough: a lost count shows as a benchmark that does not end
        if not self.left:
            self._loop.call_soon_threadsafe(self.over.set)


async def fill(
    store: Store, count: int, make: Callable[[], Task] = noop_task, **options: Unpack[TaskOptions]
) -> str:
    """Put tasks in: the id of the last one."""
    client = Client(store)
    for start in range(0, count, CHUNK):
        chunk = min(CHUNK, count - start)
        answers = await client.enqueue_many((make() for _ in range(chunk)), **options)
        last = answers[-1]
        assert not isinstance(last, EnqueueError)
        id = last.id
    return id


def large_payload(size: int) -> bytes:
    """JSON of so many bytes."""
    frame = len(msgspec.json.encode({**PAYLOAD, "text": ""}))
    return msgspec.json.encode({**PAYLOAD, "text": "x" * (size - frame)})


async def until_settled(store: Store) -> None:
    """Until everything that was begun is settled."""
    while True:
        [stats] = await store.stats(["default"])
        if not stats.pending and not stats.active:
            return
        await asyncio.sleep(0.001)


async def _drain(
    kind: str,
    count: int,
    slots: int,
    choose: Callable[[Countdown], Callable[[Task], Any]],
    *,
    make: Callable[[], Task] = noop_task,
    behind: int = 0,
    policy: FixedRetry | None = None,
    **options: Unpack[TaskOptions],
) -> float:
    with fresh_url(kind) as url:
        async with open_broker(url) as store:
            await fill(store, count + behind, make, **options)
            return await drained(store, count, slots, choose, behind=bool(behind), policy=policy)


async def drained(
    store: Store,
    count: int,
    slots: int,
    choose: Callable[[Countdown], Callable[[Task], Any]],
    *,
    behind: bool = False,
    policy: FixedRetry | None = None,
) -> float:
    """Tasks per second of a server that finds them all there."""
    countdown = Countdown(count)
    mux = Mux()
    mux.handle("bench:noop", choose(countdown))
    with log_into_nothing():
        return await _drained(store, mux, countdown, slots, behind=behind, policy=policy)


async def _drained(
    store: Store, mux: Mux, countdown: Countdown, slots: int, *, behind: bool, policy: FixedRetry | None
) -> float:
    async with Server(store, concurrency=slots, retry=policy).running(mux):
        await countdown.over.wait()
        if behind:
            return countdown.count / (countdown.ended - countdown.began)
        await until_settled(store)
        return countdown.count / (time.perf_counter() - countdown.began)


@contextlib.contextmanager
def log_into_nothing() -> Iterator[None]:
    """Every failure is a line in the log and a traceback; they are written, but not to the screen."""
    log = logging.getLogger("asynqio")
    with open(os.devnull, "w") as nothing:
        handler = logging.StreamHandler(nothing)
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


def _on_loop(countdown: Countdown) -> Callable[[Task], Any]:
    return countdown.on_loop


async def _no_op(kind: str, slots: int, size: Size) -> Figures:
    return {rows.drain(slots): await _drain(kind, size.drained, slots, _on_loop)}


async def _one_slot(kind: str, size: Size) -> Figures:
    return {rows.drain(1): await _drain(kind, size.slow, 1, _on_loop)}


async def _threads(kind: str, slots: int, size: Size) -> Figures:
    rate = await _drain(kind, size.drained // 2, slots, lambda countdown: countdown.in_thread)
    return {f"drain, plain functions in {slots} threads, tasks/s": rate}


async def _results(kind: str, size: Size) -> Figures:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.with_result, retention=60
    )
    return {rows.RESULTS: rate}


async def _large(kind: str, kilobytes: int, size: Size) -> Figures:
    payload = large_payload(1_000 * kilobytes)
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, _on_loop, make=lambda: Task("bench:noop", payload)
    )
    return {rows.large(kilobytes): rate}


async def _behind(kind: str, most: bool, size: Size) -> Figures:
    behind = size.behind if most else FEW_BEHIND
    rate = await _drain(kind, size.drained, COMMON_SLOTS, _on_loop, behind=behind)
    return {rows.behind(behind): rate}


async def _failing(kind: str, size: Size) -> Figures:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.failing, policy=FixedRetry(3600)
    )
    return {rows.FAILING: rate}


async def _retried(kind: str, size: Size) -> Figures:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.failing_once, policy=FixedRetry(0)
    )
    return {rows.RETRIED: rate}


async def _far(size: Size) -> Figures:
    with fresh_url("redis") as url:
        async with open_broker(url) as store:
            await fill(store, size.drained)
        with delayed(url, ROUND_TRIP) as far:
            async with open_broker(far) as store:
                return {rows.FAR: await drained(store, size.drained, max(SLOTS), _on_loop)}
