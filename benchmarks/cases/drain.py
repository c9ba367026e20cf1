"""Drain: one server in one process works off a full queue.

The server runs as in production: each task has a deadline and a context, the heartbeat (and the lease keeper, if any)
renews leases, and tasks are settled in batches.

The measurement runs from the start of the first handler until every task is completed or deferred. It excludes the
start of the server and includes the last settlement. For other systems it ends with the last handler, because not all
of them show settlements; this favours them. With tasks behind the measured ones, it ends with the last measured
handler for asynqio too.
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
from benchmarks.cases.enqueue import PAYLOAD, noop_task
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.row_names import COMMON_SLOTS, SLOTS
from benchmarks.harness.stores import delayed, temporary_url

#: Sizes of large payloads in kilobytes.
LARGE = (1, 10)
#: Smaller number of tasks behind the measured ones, compared with `Size.behind`.
FEW_BEHIND = 10_000
#: Round-trip time to a remote server in seconds.
ROUND_TRIP = 0.002
#: Tasks per enqueue call when filling a queue.
CHUNK = 20_000


def cases(kind: str) -> list[Case]:
    found = [
        *[Case(OURS, f"drain, {slots} slots", partial(_no_op, kind, slots)) for slots in SLOTS],
        Case(OURS, "drain, threads", partial(_threads, kind, COMMON_SLOTS)),
        Case(OURS, "drain, results", partial(_results, kind)),
    ]
    if kind == "redis":
        found += [
            Case(OURS, row_names.case_of(row_names.drain(1)), partial(_one_slot, kind)),
            *[Case(OURS, f"drain, {size} KB", partial(_large, kind, size)) for size in LARGE],
            Case(OURS, f"drain, {FEW_BEHIND:,} behind", partial(_behind, kind, False)),
            Case(OURS, "drain, most behind", partial(_behind, kind, True)),
            Case(OURS, "drain, beside long-running", partial(_beside_long, kind)),
            Case(OURS, "drain, failing", partial(_failing, kind)),
            Case(OURS, "drain, retried", partial(_retried, kind)),
            Case(OURS, "drain, 2 ms away", _far),
        ]
    return found


class Countdown:
    """Handlers that count down, and an event that the last one sets."""

    def __init__(self, count: int) -> None:
        self.count = self.left = count
        self.began = self.ended = 0.0
        self.finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def on_loop(self, task: Task) -> None:
        if self.left == self.count:
            self.began = time.perf_counter()
        self.left -= 1
        if not self.left:
            self.ended = time.perf_counter()
            self.finished.set()

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
            self.finished.set()

    def in_thread(self, task: Task) -> None:
        if self.left == self.count:
            self.began = time.perf_counter()
        self.left -= 1  # a lost count would show as a benchmark that does not end
        if not self.left:
            self._loop.call_soon_threadsafe(self.finished.set)


async def fill(
    store: Store, count: int, make: Callable[[], Task] = noop_task, **options: Unpack[TaskOptions]
) -> str:
    """Enqueue tasks; return the id of the last one."""
    client = Client(store)
    for start in range(0, count, CHUNK):
        chunk = min(CHUNK, count - start)
        answers = await client.enqueue_many((make() for _ in range(chunk)), **options)
        last = answers[-1]
        assert not isinstance(last, EnqueueError)
        id = last.id
    return id


def large_payload(size: int) -> bytes:
    """A JSON payload of `size` bytes."""
    frame = len(msgspec.json.encode({**PAYLOAD, "text": ""}))
    return msgspec.json.encode({**PAYLOAD, "text": "x" * (size - frame)})


async def start_long_running(store: Store) -> int:
    """Make tasks active as if another server ran them for an hour; return their number."""
    await fill(store, row_names.LONG_RUNNING)
    return len(await store.dequeue(["default"], row_names.LONG_RUNNING, 3600.0, "long-running"))


async def until_settled(store: Store, running: int = 0) -> None:
    """Wait until no task is pending, and none is active but `running` tasks of another server."""
    while True:
        [stats] = await store.stats(["default"])
        if not stats.pending and stats.active <= running:
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
    with temporary_url(kind) as url:
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
    running: int = 0,
) -> float:
    """Tasks per second of a server that drains a full queue."""
    countdown = Countdown(count)
    mux = Mux()
    mux.handle("bench:noop", choose(countdown))
    with log_to_devnull():
        async with Server(store, concurrency=slots, retry=policy).running(mux):
            return await _measured(store, countdown, behind=behind, running=running)


async def _measured(store: Store, countdown: Countdown, *, behind: bool, running: int) -> float:
    await countdown.finished.wait()
    if behind:
        return countdown.count / (countdown.ended - countdown.began)
    await until_settled(store, running)
    return countdown.count / (time.perf_counter() - countdown.began)


@contextlib.contextmanager
def log_to_devnull() -> Iterator[None]:
    """Write log lines and tracebacks of failures to /dev/null: formatting is measured, output is not."""
    log = logging.getLogger("asynqio")
    with open(os.devnull, "w") as devnull:
        handler = logging.StreamHandler(devnull)
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


def _on_loop(countdown: Countdown) -> Callable[[Task], Any]:
    return countdown.on_loop


async def _no_op(kind: str, slots: int, size: Size) -> Values:
    return {row_names.drain(slots): await _drain(kind, size.drained, slots, _on_loop)}


async def _one_slot(kind: str, size: Size) -> Values:
    return {row_names.drain(1): await _drain(kind, size.slow, 1, _on_loop)}


async def _threads(kind: str, slots: int, size: Size) -> Values:
    rate = await _drain(kind, size.drained // 2, slots, lambda countdown: countdown.in_thread)
    return {f"drain, plain functions in {slots} threads, tasks/s": rate}


async def _results(kind: str, size: Size) -> Values:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.with_result, retention=60
    )
    return {row_names.RESULTS: rate}


async def _large(kind: str, kilobytes: int, size: Size) -> Values:
    payload = large_payload(1_000 * kilobytes)
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, _on_loop, make=lambda: Task("bench:noop", payload)
    )
    return {row_names.large(kilobytes): rate}


async def _behind(kind: str, most: bool, size: Size) -> Values:
    behind = size.behind if most else FEW_BEHIND
    rate = await _drain(kind, size.drained, COMMON_SLOTS, _on_loop, behind=behind)
    return {row_names.behind(behind): rate}


async def _beside_long(kind: str, size: Size) -> Values:
    with temporary_url(kind) as url:
        async with open_broker(url) as store:
            running = await start_long_running(store)
            await fill(store, size.drained)
            rate = await drained(store, size.drained, COMMON_SLOTS, _on_loop, running=running)
    return {row_names.BESIDE_LONG: rate}


async def _failing(kind: str, size: Size) -> Values:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.failing, policy=FixedRetry(3600)
    )
    return {row_names.FAILING: rate}


async def _retried(kind: str, size: Size) -> Values:
    rate = await _drain(
        kind, size.drained // 2, COMMON_SLOTS, lambda countdown: countdown.failing_once, policy=FixedRetry(0)
    )
    return {row_names.RETRIED: rate}


async def _far(size: Size) -> Values:
    with temporary_url("redis") as url:
        async with open_broker(url) as store:
            await fill(store, size.drained)
        with delayed(url, ROUND_TRIP) as far:
            async with open_broker(far) as store:
                return {row_names.FAR: await drained(store, size.drained, max(SLOTS), _on_loop)}
