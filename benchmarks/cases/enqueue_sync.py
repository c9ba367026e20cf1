"""Enqueue with the blocking client: from one thread, and from many threads on one client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from asynqio.sync import Client
from benchmarks.cases.enqueue import noop_task
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.row_names import ENQUEUE_SYNC, ENQUEUE_THREADS, THREADS
from benchmarks.harness.stores import temporary_url

ONE_THREAD, MANY_THREADS = "enqueue, sync client", "enqueue, sync client, threads"


def cases(kind: str) -> list[Case]:
    return [
        Case(OURS, ONE_THREAD, partial(_one_by_one, kind)),
        Case(OURS, MANY_THREADS, partial(_from_threads, kind)),
    ]


async def _one_by_one(kind: str, size: Size) -> Values:
    # In a thread, because the client refuses to block an event loop.
    with temporary_url(kind) as url:
        return {ENQUEUE_SYNC: await asyncio.to_thread(_with_client, url, one_by_one, size.one_by_one)}


async def _from_threads(kind: str, size: Size) -> Values:
    with temporary_url(kind) as url:
        return {ENQUEUE_THREADS: await asyncio.to_thread(_with_client, url, from_threads, size.callers)}


def _with_client(url: str, measure: Callable[[Callable[[], object], int], float], count: int) -> float:
    with Client(url) as client:
        return measure(lambda: client.enqueue(noop_task()), count)


def one_by_one(enqueue: Callable[[], object], count: int) -> float:
    """Tasks per second of one thread."""
    enqueue()  # connect before the measurement starts
    began = time.perf_counter()
    for _ in range(count):
        enqueue()
    return count / (time.perf_counter() - began)


def from_threads(enqueue: Callable[[], object], count: int) -> float:
    """Tasks per second of `THREADS` threads together."""
    each = count // THREADS
    ready = threading.Barrier(THREADS + 1)

    def caller() -> None:
        enqueue()  # connect before the measurement starts
        ready.wait()
        for _ in range(each):
            enqueue()

    with ThreadPoolExecutor(THREADS) as pool:
        ends = [pool.submit(caller) for _ in range(THREADS)]
        ready.wait()
        began = time.perf_counter()
        for end in ends:
            end.result()
        return each * THREADS / (time.perf_counter() - began)
