"""While a store refuses writes but answers reads, nobody can renew a lease: no task is taken from its server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asynqio import App, current
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from tests.brokers.redis.support.servers import RedisServer
from tests.runtime.waiting import gone, within

#: Seconds of a lease, and for which writes are refused: each lease lapses meanwhile.
LEASE, REFUSED = 1.5, 4.0
TASKS = 6

#: Holds the write lock of a SQLite file until its input is closed, as a backup does.
HOLD_LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@contextlib.asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """The file is locked by another process."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLD_LOCK,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert await holder.stdout.readline() == b"locked\n"
        yield
    finally:
        holder.stdin.close()
        await holder.wait()


@contextlib.asynccontextmanager
async def refusing(server: RedisServer, refuse: str, accept: str) -> AsyncIterator[None]:
    """The Redis server refuses writes."""
    await asyncio.to_thread(server.cli, *refuse.split())
    try:
        yield
    finally:
        await asyncio.to_thread(server.cli, *accept.split())


async def runs_of(
    url: str, refused: contextlib.AbstractAsyncContextManager[None]
) -> tuple[Counter[str], int]:
    """How often each task ran on two servers, while some of them ended and others ran on; and how many were counted
    as processed."""
    runs: Counter[str] = Counter()
    started = asyncio.Semaphore(0)
    early, late = asyncio.Event(), asyncio.Event()
    first, second = App(url), App(url)

    async def work(number: int) -> None:
        runs[current().id] += 1
        started.release()
        await (early if number % 2 else late).wait()

    task = first.task("work")(work)
    second.task("work")(work)

    def running(app: App) -> contextlib.AbstractAsyncContextManager[object]:
        return app.running(lease=LEASE, concurrency=TASKS, lease_keeper=False)

    async with first, second:
        async with running(first), running(second):
            handles = [await task.enqueue(number) for number in range(TASKS)]
            for _ in handles:
                await within(started.acquire())
            async with refused:
                early.set()
                await asyncio.sleep(REFUSED)
            # Longer than it would take to declare a server dead.
            await asyncio.sleep(2 * LEASE)
            late.set()
            for handle in handles:
                await gone(first, handle.info)
        [stats] = await first.broker.stats(["default"])
    return runs, stats.processed


@pytest.mark.parametrize("busy_timeout", [0.3, 10.0])
async def test_a_file_locked_by_a_backup_costs_no_run(tmp_path: Path, busy_timeout: float) -> None:
    path = tmp_path / "tasks.db"
    runs, processed = await runs_of(f"sqlite:///{path}?busy_timeout={busy_timeout}", locked(path))
    assert sorted(runs.values()) == [1] * TASKS
    assert processed == TASKS


async def test_a_locked_file_accepts_no_writes(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with open_broker(f"sqlite:///{path}?busy_timeout=0.05") as broker:
        assert isinstance(broker, Store)
        async with locked(path):
            assert await broker.accepts_writes(["default"]) == [False]
        assert await broker.accepts_writes(["default"]) == [True]


ANSWERS = {
    "NOREPLICAS": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    "OOM": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "READONLY": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_redis_that_refuses_writes_costs_no_run(server: RedisServer, answer: str) -> None:
    runs, processed = await runs_of(server.url, refusing(server, *ANSWERS[answer]))
    assert sorted(runs.values()) == [1] * TASKS
    assert processed == TASKS


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_redis_that_refuses_writes_accepts_none(server: RedisServer, answer: str) -> None:
    async with open_broker(server.url) as broker:
        assert await broker.accepts_writes(["default", "other"]) == [True, True]
        async with refusing(server, *ANSWERS[answer]):
            assert await broker.accepts_writes(["default", "other"]) == [False, False]
        assert await broker.accepts_writes(["default", "other"]) == [True, True]
