"""A server dies, or is considered dead, and the other side recovers its tasks.

Go leases a task for 30 s and recovers leases that expired 30 s ago, once a minute and at the start of a server. Tests
do not wait: they set the times in Redis back.
"""

from __future__ import annotations

import asyncio
import signal
import time

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.redis.broker import open_redis
from asynqio.brokers.redis.operations.leases import LeaseRepair
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.ours import OurInspector
from tests.interop.support.waiting import settled, until


async def lapse(redis_server: RedisServer, *ids: str) -> None:
    """Expire the leases a minute ago, and remove the info of their servers."""
    for id in ids:
        changed = await asyncio.to_thread(
            redis_server.cli, "ZADD", "asynq:{default}:lease", "XX", "CH", int(time.time()) - 61, id
        )
        assert changed == 1
    silent = await asyncio.to_thread(redis_server.cli, "KEYS", "asynq:servers:*")
    for key in silent:
        await asyncio.to_thread(redis_server.cli, "DEL", key)


async def test_tasks_of_a_killed_server_are_run_by_the_other_side(
    producer: Side, worker: Side, go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    rescuer: Side = ours if worker is go else go
    async with producer.client() as client, producer.inspector() as inspector:
        async with worker.server(concurrency=2) as server:
            for id in ("a", "b"):
                await client.enqueue("sleep:60000", id.encode(), task_id=id, headers={"k": "v"}, unique=600)
                await server.event("started", id=id)
            for id in ("a", "b"):
                await client.enqueue("ok", b"x", task_id=f"{id}-waits")
            await server.kill()
        assert {task.id for task in await inspector.tasks("default", "active")} == {"a", "b"}
        await lapse(redis_server, "a", "b")
        assert [task.is_orphaned for task in await inspector.tasks("default", "active")] == [True, True]
        async with rescuer.server(concurrency=4, retry_delay=0, delayed_interval=1) as server:
            for id in ("a", "b"):
                seen = (await server.event("started", id=id)).seen
                assert (seen.retried, seen.headers) == (1, {"k": "v"})
                await server.event("ended", id=f"{id}-waits")
        task = await inspector.task("default", "a")
        assert "lease expired" in task.last_err


async def test_a_server_that_was_considered_dead_has_no_effect_when_it_returns(
    go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    """A Go server recovers the task of a frozen asynqio server, which then returns with a late result."""
    async with go.client() as client, go.inspector() as inspector, ours.server() as frozen:
        await client.enqueue("sleep:1000", task_id="a", retention=600)
        await frozen.event("started", id="a")
        frozen.signal_all(signal.SIGSTOP)
        await lapse(redis_server, "a")
        async with go.server(retry_delay=600) as rescuer:
            await settled(inspector, "a")  # Go's recoverer runs at the start of a server
            await rescuer.terminate()
        taken = await inspector.task("default", "a")
        frozen.signal_all(signal.SIGCONT)
        await frozen.event("ended", id="a")
        assert await frozen.terminate() == 0
        assert await inspector.task("default", "a") == taken
        assert (taken.state, taken.retried) == ("retry", 1)
        queue = await inspector.queue("default")
        assert (queue.processed, queue.failed) == (1, 1)


async def test_a_live_go_server_keeps_its_task(go: Go, ours: Ours, redis_server: RedisServer) -> None:
    """A Go server keeps a lease for 30 s after its expiry: its renewals may be that late."""
    async with go.client() as client, go.inspector() as inspector, go.server() as owner:
        await client.enqueue("sleep:60000", task_id="a")
        await owner.event("started", id="a")
        lapsed = int(time.time()) - 10
        await asyncio.to_thread(redis_server.cli, "ZADD", "asynq:{default}:lease", "XX", lapsed, "a")
        async with ours.server() as server:
            await client.enqueue("ok", task_id="b")
            await server.event("ended", id="b")
            task = await inspector.task("default", "a")
            assert (task.state, task.retried) == ("active", 0)


async def archived(inspector: OurInspector) -> int:
    return (await inspector.queue("default")).archived


async def test_invalid_data_of_the_other_side_does_not_stop_recovery(
    go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    """Invalid data aborts Go's recovery of all queues (B9). asynqio quarantines it, and Go recovers again."""
    cli = redis_server.cli

    def poison() -> None:
        cli("HSET", "asynq:{default}:t:bad", "msg", "\\xff not a message", "state", "active")
        cli("LPUSH", "asynq:{default}:active", "bad")
        cli("ZADD", "asynq:{default}:lease", int(time.time()) - 100, "bad")
        cli("SADD", "asynq:queues", "default")

    await asyncio.to_thread(poison)
    async with ours.server(), ours.inspector() as inspector:
        await until("the asynqio server quarantines it", lambda: archived(inspector))
    async with go.client() as client, go.inspector() as go_inspector, go.server() as dying:
        await client.enqueue("sleep:60000", task_id="a")
        await dying.event("started", id="a")
        await dying.kill()
        await lapse(redis_server, "a")
        async with go.server(retry_delay=0, delayed_interval=1) as rescuer:
            await rescuer.event("started", id="a")
        assert (await go_inspector.queue("default")).archived == 1


async def test_the_task_of_a_running_go_server_before_0_22_is_left_to_it(
    go: Go, redis_server: RedisServer
) -> None:
    """Go 0.21 keeps no lease for a running task, but the end of its timeout, by default 30 minutes."""
    clock = FakeClock(float(int(time.time())))
    async with open_redis(redis_server.url, clock) as broker, go.old_server() as server:
        await server.event("started")
        for _ in range(4):
            await broker.sweep(["default"], 100)
            assert (await broker.expired(["default"], 100)).leases == []
            clock.advance(2 * LeaseRepair.EVERY)
        [finding] = [one for one in await broker.examine(fix=True) if one.queue == "default"]
        assert finding.code == "old-go-server"
        assert [task.id for task in await broker.tasks(Where("default", TaskState.ACTIVE), Page())] == [
            "slow"
        ]
        await server.finish()
        async with go.inspector() as inspector:

            async def done() -> bool:
                return (await inspector.queue("default")).processed == 1

            await until("Go records the end of its task", done)
        assert await broker.find([TaskRef("default", "slow")]) == [None]
