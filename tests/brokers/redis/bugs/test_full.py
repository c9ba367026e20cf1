"""At maxmemory, Redis refuses new tasks; what ends tasks, frees memory or takes little of it still works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from asynqio import App
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.brokers.redis.broker import open_redis
from asynqio.core.groups import GroupRule, GroupRules
from asynqio.core.info import SchedulerInfo
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import StorageFull
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import aborted, archived, entry, failed, server_info, settlement
from tests.conformance.helpers import TIMEOUT, ids, put, state_of, take

A = TaskRef("default", "a")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def broker(server: RedisServer, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_redis(server.url, clock) as broker:
        yield broker


async def fill(server: RedisServer) -> None:
    await asyncio.to_thread(server.cli, "CONFIG", "SET", "maxmemory", 1)


async def test_a_full_redis_refuses_new_tasks(broker: Store, server: RedisServer) -> None:
    await put(broker, entry("a"))
    await fill(server)
    with pytest.raises(StorageFull):
        await broker.enqueue([entry("b")])
    assert await ids(broker, TaskState.PENDING) == ["a"]


async def test_a_full_redis_settles_every_outcome(
    broker: Store, server: RedisServer, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "abcd"), entry("e", retention=60.0))
    leases = await take(broker, 5)
    await fill(server)
    now = clock.now()
    done = [failed(leases[0], now), archived(leases[1], now), aborted(leases[2], now)]
    done += [settlement(leases[3]), settlement(leases[4])]
    assert await broker.settle(done) == [True] * 5
    states = [await state_of(broker, id) for id in "abcde"]
    expected = [TaskState.RETRY, TaskState.ARCHIVED, TaskState.PENDING, None, TaskState.COMPLETED]
    assert states == expected


async def test_a_full_redis_runs_and_recovers_tasks(
    broker: Store, server: RedisServer, clock: FakeClock
) -> None:
    await put(broker, entry("a"), entry("b", at=clock.now() + 1), entry("c", group="g"))
    await fill(server)
    [lease] = await take(broker)
    clock.advance(5)
    before = lease.expires_at
    assert await broker.renew([lease], 60.0) == [True]
    assert lease.expires_at > before
    assert (await broker.forward(["default"], 10)).moved == 1
    claimed = await broker.claim_groups(["default"], GroupRules({"": GroupRule(grace=1.0)}), 1)
    assert await broker.merge_group(claimed.batches[0], entry("merged")) is Admission.ACCEPTED
    await broker.sweep(["default"], 100)
    assert await ids(broker, TaskState.PENDING) == ["b", "merged"]


async def test_a_full_redis_deletes_batches(broker: Store, server: RedisServer, clock: FakeClock) -> None:
    await put(broker, entry("a", group="g"))
    await fill(server)
    clock.advance(5)
    policy = GroupRules({"g": GroupRule(grace=1.0)}, exact=True)
    [batch] = (await broker.claim_groups(["default"], policy, 1)).batches
    assert await broker.delete_batch(batch)
    assert await state_of(broker, "a") is None


async def _pending_deleted(broker: Store, lease: Lease) -> None:
    found = await broker.scan(Where("default", TaskState.PENDING), "", 10)
    refs = [TaskRef("default", info.id) for info in found.infos]
    assert len(refs) == 2
    answers = await broker.move(Action.DELETE, refs, state=TaskState.PENDING, near=found.after)
    assert answers == [Moved.DONE] * 2


async def _archived_and_run(broker: Store, lease: Lease) -> None:
    assert await broker.move(Action.ARCHIVE, [A]) == [Moved.DONE]
    assert await broker.move(Action.RUN, [A]) == [Moved.DONE]


async def _all_deleted(broker: Store, lease: Lease) -> None:
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING)) == 2


async def _transferred(broker: Store, lease: Lease) -> None:
    assert await broker.transfer([A], "other") == [Moved.DONE]
    assert await broker.queues() == ["default", "other"]


async def _paused(broker: Store, lease: Lease) -> None:
    for name in ("default", "other"):
        assert await broker.pause(name, True)
        assert await broker.pause_type(name, "email:send", True)
        assert await broker.pause_schedule(name, "daily", True)
        assert await broker.pause_schedule(name, "daily", False)
    assert await broker.queues() == ["default", "other"]


async def _removed(broker: Store, lease: Lease) -> None:
    await broker.settle([settlement(lease)])
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []


async def _server_started(broker: Store, lease: Lease) -> None:
    await broker.beat(server_info(), 10.0)
    await broker.beat(SchedulerInfo("scheduler", "host", 1, 1.0), 10.0)
    assert [info.id for info in await broker.servers()] == ["server-1"]
    await broker.register_schedules("default", ["daily"])
    await broker.leave(server_info())


async def _examined(broker: Store, lease: Lease) -> None:
    await broker.examine(fix=True)
    await broker.flush_group("default", "g")


@pytest.mark.parametrize(
    "work",
    [
        _pending_deleted,
        _archived_and_run,
        _all_deleted,
        _transferred,
        _paused,
        _removed,
        _server_started,
        _examined,
    ],
)
async def test_operators_can_work_on_a_full_redis(
    broker: Store, server: RedisServer, work: Callable[[Store, Lease], Awaitable[None]]
) -> None:
    await put(broker, entry("running"))
    [lease] = await take(broker)
    await put(broker, entry("a"), entry("b"), entry("c", group="g"))
    await fill(server)
    await work(broker, lease)


async def test_one_failing_task_holds_up_nobody(server: RedisServer) -> None:
    app = App(server.url)
    full, started = asyncio.Event(), asyncio.Semaphore(0)

    @app.task("end", retention=60)
    async def end(fails: bool) -> None:
        started.release()
        await full.wait()
        if fails:
            raise ValueError("no")

    async with app, app.running(concurrency=30, shutdown_timeout=1.0):
        for number in range(20):
            await end.enqueue(number == 10)
        async with asyncio.timeout(TIMEOUT):
            for _ in range(20):
                await started.acquire()
            await fill(server)
            full.set()
            while (stats := await app.inspector.queue("default")).active:  # noqa: ASYNC110 - no signal
                await asyncio.sleep(0.02)
        assert (stats.completed, stats.retry) == (19, 1)


async def test_a_worker_starts_on_a_full_redis(server: RedisServer) -> None:
    app = App(server.url)
    ran = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        ran.set()

    async with app:
        await work.enqueue()
        await fill(server)
        async with asyncio.timeout(TIMEOUT), app.running(shutdown_timeout=1.0):
            await ran.wait()
            assert len(await app.inspector.servers()) == 1


async def test_a_full_redis_deletes_documents_and_stores_none(broker: Store, server: RedisServer) -> None:
    await broker.put_document("tenants", "a", b"one")
    await fill(server)
    with pytest.raises(StorageFull):
        await broker.put_document("tenants", "b", b"two")
    with pytest.raises(StorageFull):
        await broker.append_log("audit", [b"x"], keep=10, age=60)
    assert await broker.put_document("tenants", "a", None) == 2
    assert await broker.collection("tenants") == (2, {})
