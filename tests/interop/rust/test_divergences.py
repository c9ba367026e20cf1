"""Where the crate's Redis broker departs from Go's asynq, and what that means for asynqio on the same Redis."""

from __future__ import annotations

import asyncio
import time

import pytest

from asynqio import Client, DuplicateTask, Inspector, Mux, Server, Task, TaskState
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Ours
from tests.interop.rust.support.peers import Rust
from tests.interop.rust.support.waiting import processed
from tests.interop.support.process import PeerError
from tests.interop.support.waiting import until

#: Seconds: the lease that the crate takes. It never extends it.
LEASE = 3600
LOCK = "asynq:{default}:unique:ok:9dd4e461268c8034f5c8564e155c67a6"


async def lease_of(redis_server: RedisServer, id: str) -> float:
    return float(await asyncio.to_thread(redis_server.cli, "ZSCORE", "asynq:{default}:lease", id))


async def lapse(redis_server: RedisServer, id: str) -> None:
    """Expire a lease a minute ago, as if an hour had passed since the task started."""
    changed = await asyncio.to_thread(
        redis_server.cli, "ZADD", "asynq:{default}:lease", "XX", "CH", int(time.time()) - 61, id
    )
    assert changed == 1


async def test_a_lock_outlives_its_task_unless_the_task_is_kept(
    rust: Rust, ours: Ours, redis_server: RedisServer
) -> None:
    """Only its time to live ends it. With a retention, the crate does release it."""
    async with rust.server(), Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("ok", b"x"), unique=600, task_id="a")
        await until("the task is done", lambda: processed(inspector, 1))
        assert (await inspector.queue("default")).size == 0
        with pytest.raises(DuplicateTask):
            await client.enqueue(Task("ok", b"x"), unique=600)
        assert 500 < await asyncio.to_thread(redis_server.cli, "TTL", LOCK) <= 600
        await client.enqueue(Task("ok", b"kept"), unique=600, retention=600)
        await until("the task is done", lambda: processed(inspector, 2))
        await client.enqueue(Task("ok", b"kept"), unique=600, retention=600)


async def test_a_lock_of_rust_is_released_by_a_server_of_asynqio(rust: Rust, ours: Ours) -> None:
    async with ours.server(), rust.client() as client, Inspector(ours.url) as inspector:
        await client.enqueue_unique(600, "ok", b"x")
        await until("the task is done", lambda: processed(inspector, 1))
        await client.enqueue_unique(600, "ok", b"x")


async def test_the_task_of_a_killed_server_waits_for_the_end_of_its_lease(
    rust: Rust, ours: Ours, redis_server: RedisServer
) -> None:
    """It is shown as active, for an hour; then asynqio runs it again, with its data."""
    async with Client(ours.url) as client, Inspector(ours.url) as inspector:
        async with rust.server() as server:
            await client.enqueue(Task("sleep:60000", b"x"), task_id="a", headers={"k": "v"}, retention=600)
            await server.event("started", id="a")
            assert await lease_of(redis_server, "a") == pytest.approx(time.time() + LEASE, abs=30)
            await server.kill()
        async with ours.server() as rescuer:
            await client.enqueue(Task("ok"), task_id="b")
            await rescuer.event("ended", id="b")
            assert (await inspector.find("a")).state is TaskState.ACTIVE
            await rescuer.terminate()
        await lapse(redis_server, "a")
        async with ours.server() as rescuer:
            seen = (await rescuer.event("started", id="a")).seen
            assert (seen.retried, seen.headers) == (1, {"k": "v"})
        task = await inspector.find("a")
        assert (task.retention, task.last_error) == (
            600,
            "task lease expired: the server that ran it is gone",
        )


async def test_a_task_longer_than_its_lease_runs_twice_at_once(
    rust: Rust, ours: Ours, redis_server: RedisServer
) -> None:
    """The end of the first run settles the task, though its lease is lost; the second run is stopped."""
    # A Rust server recovers expired leases too, its own included, so this one does not look for them again.
    never = float(LEASE)
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow(_: Task) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    mux = Mux()
    mux.handle("slow", slow)
    async with (
        rust.server(concurrency=1, janitor_interval=never) as first,
        Client(ours.url) as client,
        Inspector(ours.url) as inspector,
    ):
        await client.enqueue(Task("slow"), task_id="a", retention=600)
        await first.event("started", id="a")
        await lapse(redis_server, "a")
        async with Server(ours.url, lease=5).running(mux):
            async with asyncio.timeout(30):
                await started.wait()
            await first.release()
            await first.event("ended", id="a")
            async with asyncio.timeout(30):
                await stopped.wait()
        task = await inspector.find("a")
        assert (task.state, task.retried) == (TaskState.COMPLETED, 0)
        stats = await inspector.queue("default")
        assert (stats.processed, stats.failed) == (2, 1)


async def test_a_panicking_handler_leaves_its_task_active(
    rust: Rust, ours: Ours, redis_server: RedisServer
) -> None:
    async with rust.server() as server, Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("panic", b"oh"), task_id="a")
        await server.event("dropped", id="a")
        await client.enqueue(Task("ok"), task_id="b")
        await server.event("ended", id="b")
        assert (await inspector.find("a")).state is TaskState.ACTIVE
        assert await lease_of(redis_server, "a") > time.time() + LEASE - 60
        assert "panicked" in server.log


async def test_a_unique_member_of_a_group_is_refused(rust: Rust, ours: Ours) -> None:
    """The arguments are not in the order of the script."""
    async with rust.client() as client, Inspector(ours.url) as inspector:
        with pytest.raises(PeerError, match="not an integer"):
            await client.add_to_group_unique("g", 600, "ok", b"x")
        assert await inspector.groups("default") == []
        assert (await inspector.queue("default")).size == 0
