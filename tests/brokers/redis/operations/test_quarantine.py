"""A damaged store: workers continue, inspectors show the damage, and no other task is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asynqio import Client, Mux, Server, SkipRetry, Task, TaskState
from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.limits import ARCHIVE_LIMIT
from asynqio.brokers.contract.results import CORRUPT_TYPE
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.operations.leases import LeaseRepair
from asynqio.runtime.duties import sweeper
from tests.brokers.redis.support.fixtures import fresh_server
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import message
from tests.runtime.waiting import within

DAY = 86_400


def key(suffix: str) -> str:
    return f"asynq:{{default}}:{suffix}"


@pytest.fixture
def server() -> RedisServer:
    return fresh_server()


def damage(server: RedisServer, now: float) -> None:
    """All kinds of damage at once."""
    client = server._client
    client.sadd("asynq:queues", "default")
    # bytes that are not a message, in every list and set that is processed
    for id, place in (("corrupt-p", "pending"), ("corrupt-a", "active")):
        client.hset(key(f"t:{id}"), mapping={"msg": b"\xff\xfe garbage", "state": place})
        client.lpush(key(place), id)
    client.zadd(key("lease"), {"corrupt-a": now - 100})
    for id, place in (("corrupt-s", "scheduled"), ("corrupt-r", "retry")):
        client.hset(key(f"t:{id}"), mapping={"msg": b"\x0a\xff", "state": place})
        client.zadd(key(place), {id: now - 1})
    # ids without a task
    client.lpush(key("pending"), "ghost-p")
    client.lpush(key("active"), "ghost-a")
    client.zadd(key("lease"), {"ghost-a": now - 100})
    client.zadd(key("scheduled"), {"ghost-s": now - 1})
    # what Go leaves when it dequeues one of them
    client.lpush(key("active"), "half")
    client.hset(key("t:half"), "state", "active")
    client.zadd(key("lease"), {"half": now - 100})
    # active without a lease
    leaseless = encode_task(message("leaseless", "work", payload=b'"leaseless"'))
    client.hset(key("t:leaseless"), mapping={"msg": leaseless, "state": "active"})
    client.lpush(key("active"), "leaseless")
    # an archive with too many and too old tasks
    pipe = client.pipeline(transaction=False)
    for number in range(12_000):
        old = number < 9_000
        id = f"old-{number}" if old else f"young-{number}"
        pipe.hset(key(f"t:{id}"), mapping={"msg": encode_task(message(id, "work")), "state": "archived"})
        pipe.zadd(key("archived"), {id: int(now - (100 * DAY if old else DAY))})
    pipe.execute()
    # keys of the wrong type: a task, and a whole queue
    client.set(key("t:string"), "not a hash")
    client.lpush(key("pending"), "string")
    client.sadd("asynq:queues", "broken")
    client.set("asynq:{broken}:pending", "not a list")
    client.lpush("asynq:{broken}:scheduled", "not a zset")
    client.set("asynq:{broken}:lease", "not a zset")
    client.lpush("asynq:{broken}:completed", "not a zset")
    client.set("asynq:{broken}:groups", "not a set")


@pytest.mark.parametrize("queues", [["default", "broken"], ["broken", "default"]])
async def test_workers_continue_in_a_damaged_store(
    server: RedisServer, queues: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeaseRepair, "EVERY", 0.5)
    monkeypatch.setattr(sweeper, "INTERVAL", 0.5)
    done: set[str] = set()
    archived_by_handler = asyncio.Event()
    mux = Mux()

    @mux.handle("work")
    async def work(task: Task) -> None:
        done.add(str(task.load()))

    @mux.handle("hopeless")
    async def hopeless(task: Task) -> None:
        archived_by_handler.set()
        raise SkipRetry("no")

    broker = open_broker(server.url)
    await asyncio.to_thread(damage, server, broker.clock.now())
    async with broker, Client(broker) as client:
        # Given valid tasks before, between and behind the damaged ones
        for number in range(20):
            await client.enqueue(Task.json("work", f"task-{number}"))
        await client.enqueue(Task.json("work", "later"), process_in=1)
        await client.enqueue(Task("hopeless"))
        # When a server processes the queue, beside a damaged one
        worker = Server(broker, queues=dict.fromkeys(queues, 1), concurrency=5, lease=5.0)
        async with worker.running(mux):
            # Then every valid task is processed, including those without a lease and later ones
            await within(archived_by_handler.wait())
            wanted = {f"task-{number}" for number in range(20)} | {"later", "leaseless"}
            await eventually(broker, lambda found: wanted <= done)
            await eventually(broker, lambda found: found["pending"] == found["active"] == 0)
            await eventually(broker, lambda found: found["scheduled"] == found["retry"] == 0)
            await eventually(broker, lambda found: found["archived"] < ARCHIVE_LIMIT)
        # and the damaged tasks are archived and counted
        archived = await broker.tasks(Where("default", TaskState.ARCHIVED), Page(20_000))
        corrupt = {info.id: info for info in archived if info.type == CORRUPT_TYPE}
        assert {"corrupt-p", "corrupt-a", "corrupt-s", "corrupt-r"} <= set(corrupt)
        assert corrupt["corrupt-p"].payload == b"\xff\xfe garbage"
        assert "not a task" in corrupt["corrupt-p"].last_error
        [stats] = await broker.stats(["default"])
        # four messages, three ids without a task, half a task, a string
        assert stats.quarantined_total >= 9
        # no recent task is lost, all too old ones are evicted and counted
        assert sum(info.id.startswith("young-") for info in archived) == 3_000
        assert not any(info.id.startswith("old-") for info in archived)
        assert stats.evicted_total == 9_000
        assert stats.archived <= ARCHIVE_LIMIT
        # the foreign key is not changed, and no hash is leaked
        assert await asyncio.to_thread(server.cli, "GET", key("t:string")) == "not a hash"
        left = await asyncio.to_thread(lambda: {name.decode() for name in raw_keys(server)})
        assert not {key(f"t:{id}") for id in ("ghost-p", "ghost-a", "ghost-s", "half", "old-1")} & left
        # Go can read a quarantined task
        stored = await asyncio.to_thread(raw_hget, server, key("t:corrupt-a"), "msg")
        assert decode_task(stored).type == CORRUPT_TYPE
        # the damaged queue still has statistics
        [broken] = await broker.stats(["broken"])
        assert broken.size == 0


def raw(server: RedisServer) -> Any:
    import redis

    return redis.Redis(port=server.port)


def raw_keys(server: RedisServer) -> list[bytes]:
    with raw(server) as client:
        return list(client.scan_iter(count=10_000))


def raw_hget(server: RedisServer, name: str, field: str) -> bytes:
    with raw(server) as client:
        return bytes(client.hget(name, field))


async def counts(broker: Store) -> dict[str, int]:
    [stats] = await broker.stats(["default"])
    return {state.value: getattr(stats, state.value) for state in TaskState}


async def eventually(broker: Store, condition: Callable[[dict[str, int]], bool]) -> None:
    """Wait until a condition holds, checked after every change of the queue."""
    topics = [signals.pending("default"), signals.due("default")]
    async with asyncio.timeout(60):
        with broker.watch(topics) as watch:
            while not condition(await counts(broker)):
                await watch.wait(0.2)
