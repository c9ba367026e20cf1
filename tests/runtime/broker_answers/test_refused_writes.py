"""While a store refuses writes but answers reads, nobody can renew a lease: no task is taken from its server."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from asynqio import App, current
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.servers import RedisServer
from tests.runtime.waiting import gone, within
from tests.until import until

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
async def refusing(server: RedisServer, answer: str) -> AsyncIterator[None]:
    """The Redis server refuses writes."""
    refuse, accept = ANSWERS[answer]
    await asyncio.to_thread(refuse, server)
    try:
        yield
    finally:
        await asyncio.to_thread(accept, server)


async def runs_of(
    url: str, refused: contextlib.AbstractAsyncContextManager[None], queues: Sequence[str] = ("default",)
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
        return app.running(
            lease=LEASE, concurrency=TASKS, lease_keeper=False, queues=dict.fromkeys(queues, 1)
        )

    async with first, second:
        async with running(first), running(second):
            handles = [
                await task.with_options(queue=queues[number // 2 % len(queues)]).enqueue(number)
                for number in range(TASKS)
            ]
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
        stats = await first.broker.stats(queues)
    return runs, sum(queue.processed for queue in stats)


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


def cannot_save(server: RedisServer) -> None:
    """Make a save fail: its temporary file needs a folder that exists."""
    gone = server.folder / "gone"
    gone.mkdir()
    server.cli("CONFIG", "SET", "dir", str(gone))
    gone.rmdir()
    server.cli("CONFIG", "SET", "save", "3600 1")
    server.cli("BGSAVE")
    until("the save has failed", lambda: server.cli("INFO")["rdb_last_bgsave_status"] == "err")


def require_password(server: RedisServer) -> None:
    """Require a password that no client knows, and close all connections: only new ones need it."""
    server.cli("CONFIG", "SET", "requirepass", "other")
    for kind in ("normal", "pubsub"):
        server.cli("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def setting(name: str, value: str | int) -> Callable[[RedisServer], object]:
    return lambda server: server.cli("CONFIG", "SET", name, value)


#: The error → what makes Redis answer with it, and what ends this.
ANSWERS: dict[str, tuple[Callable[[RedisServer], object], Callable[[RedisServer], object]]] = {
    "NOREPLICAS": (setting("min-replicas-to-write", 1), setting("min-replicas-to-write", 0)),
    "OOM": (setting("maxmemory", 1), setting("maxmemory", 0)),
    "READONLY": (
        lambda server: server.cli("REPLICAOF", "127.0.0.1", 1),
        lambda server: server.cli("REPLICAOF", "NO", "ONE"),
    ),
    "MISCONF": (cannot_save, setting("save", "")),
    "NOAUTH": (require_password, setting("requirepass", "")),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", "enable-protected-configs yes") as server:
        yield server


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_redis_that_refuses_writes_costs_no_run(server: RedisServer, answer: str) -> None:
    runs, processed = await runs_of(server.url, refusing(server, answer))
    assert sorted(runs.values()) == [1] * TASKS
    assert processed == TASKS


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_redis_that_refuses_writes_accepts_none(server: RedisServer, answer: str) -> None:
    async with open_broker(server.url) as broker:
        assert await broker.accepts_writes(["default", "other"]) == [True, True]
        async with refusing(server, answer):
            assert await broker.accepts_writes(["default", "other"]) == [False, False]
        assert await broker.accepts_writes(["default", "other"]) == [True, True]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "cluster") as cluster:
        yield cluster


async def test_one_master_of_a_cluster_that_refuses_writes_costs_no_run(cluster: RedisCluster) -> None:
    # The second node holds the queue "default", and others hold some of the other queues.
    queues = ["default", "other", "third"]
    runs, processed = await runs_of(cluster.url, refusing(cluster.nodes[1], "NOREPLICAS"), queues)
    assert sorted(runs.values()) == [1] * TASKS
    assert processed == TASKS
