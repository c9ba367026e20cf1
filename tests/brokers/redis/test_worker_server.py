"""Worker servers on Redis: cancellation by Go's tools, restarts, idle traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from benchmarks.redis.command_rate import command_rate
from blockbuster import BlockBuster

from asynqio import App, Client, Task, TaskInfo, TaskState
from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.task.message import TaskRef
from asynqio.errors import InvalidName
from tests.brokers.redis.support.fixtures import fresh_server
from tests.brokers.redis.support.servers import RedisServer
from tests.conformance.conftest import broker_url
from tests.runtime.waiting import state_of, within
from tests.until import until


@pytest.fixture
def server() -> RedisServer:
    return fresh_server()


async def test_go_cancels_a_running_task_by_its_id_alone(server: RedisServer) -> None:
    async with App(server.url) as app:
        running = asyncio.Event()

        @app.task("long")
        async def long() -> None:
            running.set()
            await asyncio.sleep(60)

        async with app.server(queues={"low": 1}).running(app.mux):
            handle = await long.with_options(queue="low", max_retry=3).enqueue()
            await within(running.wait())
            cancelled = asyncio.ensure_future(state_of(app, handle.info, TaskState.RETRY))
            while not cancelled.done():  # there is no signal for a completed subscription
                await asyncio.to_thread(server.cli, "PUBLISH", "asynq:cancel", handle.id)
                await asyncio.wait([cancelled], timeout=0.1)
            info = await cancelled
        assert "cancelled" in info.last_error


#: Seconds for which an idle server is observed: all its duties occur in it.
IDLE = 20.0


@pytest.mark.parametrize("duties", ["tasks", "tasks, schedules and groups"])
async def test_an_idle_server_sends_less_than_one_command_per_second(
    server: RedisServer, duties: str
) -> None:
    """All commands count, those of heartbeats and of the push connection too."""
    async with App(server.url) as app:

        @app.task("work")
        async def work() -> None: ...

        if duties != "tasks":
            app.cron("0 0 1 1 *")(work)
            app.aggregate(lambda group, members: Task("work"))

        async with app.running(concurrency=5):
            handle = await work.with_options(retention=3_600).enqueue()
            await within(handle.result())
            await asyncio.sleep(1)
            rate = await command_rate(server.url, IDLE)
    print(f"{rate.heartbeats + rate.others:.2f} commands/s, {rate.heartbeats:.2f} of them heartbeats")
    assert rate.heartbeats + rate.others < 1


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", aof="always") as server:
        yield server


async def test_a_server_continues_after_a_restart_of_redis(lasting: RedisServer) -> None:
    async with App(lasting.url) as app:
        done: list[int] = []
        first, last = asyncio.Event(), asyncio.Event()

        @app.task("work")
        async def work(number: int) -> None:
            done.append(number)
            (first if number < 10 else last).set()

        async with app.server(concurrency=2).running(app.mux):
            await app.enqueue_many([work.task(number) for number in range(10)])
            await within(first.wait())
            await asyncio.to_thread(lasting.kill)
            await asyncio.to_thread(lasting.start)
            await work.enqueue(10)
            await within(last.wait())
            while (stats := (await app.broker.stats(["default"]))[0]).size:
                assert stats.size < 10
                await asyncio.sleep(0.02)  # there is no signal for the last settlements
        assert sorted(set(done)) == list(range(11))


@pytest.mark.parametrize("kind", ["redis", "redis-cluster"])
async def test_a_large_enqueue_many_keeps_its_order(kind: str, tmp_path: Path) -> None:
    """It is sent in chunks, several at once, before the queue is registered."""
    url = await asyncio.to_thread(broker_url, kind, tmp_path)
    async with Client(url) as client:
        ids = [f"{number:05}" for number in range(2_500)]
        answers = await client.enqueue_many(Task("work", task_id=id) for id in ids)
        assert [info.id for info in answers if isinstance(info, TaskInfo)] == ids
        pending = await client.broker.tasks(Where("default", TaskState.PENDING), Page(5_000))
        assert [info.id for info in pending] == ids
        assert await client.broker.queues() == ["default"]


@pytest.fixture
def cluster_url(tmp_path: Path) -> str:
    return broker_url("redis-cluster", tmp_path)


async def test_an_invalid_queue_name_on_a_cluster_does_not_affect_others(cluster_url: str) -> None:
    async with Client(cluster_url) as client:
        queues = ["a", "}b", "c"]
        # callers that share a call
        one, two, three = await asyncio.gather(
            *(client.enqueue(Task("work"), queue=queue) for queue in queues), return_exceptions=True
        )
        assert isinstance(one, TaskInfo)
        assert isinstance(two, InvalidName)
        assert isinstance(three, TaskInfo)
        # and tasks of one call
        answers = await client.enqueue_many([Task("work", queue=queue) for queue in queues])
        assert [isinstance(answer, TaskInfo) for answer in answers] == [True, False, True]
        assert isinstance(answers[1], InvalidName)
        assert [stats.pending for stats in await client.broker.stats(["a", "c"])] == [2, 2]


async def test_an_invalid_queue_name_that_go_has_registered_on_a_cluster_does_not_affect_others(
    cluster_url: str,
) -> None:
    async with Client(cluster_url) as client:
        await client.enqueue(Task("work"), queue="a")
        broker = client.broker
        assert isinstance(broker, RedisBroker)
        await (await broker._session()).redis.command("asynq:queues", "SADD", "asynq:queues", "}b")
        assert await broker.queues() == ["a"]
        assert [stats.pending for stats in await broker.stats(await broker.queues())] == [1]
        await broker.forward(await broker.queues(), 10)


async def test_closing_right_after_watching_leaves_nothing_open(server: RedisServer) -> None:
    before = asyncio.all_tasks()
    broker = open_broker(server.url)
    for topic in (signals.pending("default"), signals.ended(TaskRef("default", "a"))):
        async with broker:
            watch = broker.watch([topic])
        watch.close()
        assert asyncio.all_tasks() == before


async def test_the_next_dequeue_is_sent_before_handlers_block_the_event_loop(
    server: RedisServer, no_blocking: BlockBuster
) -> None:
    no_blocking.deactivate()
    active: list[int] = []
    with redis.Redis.from_url(server.url) as beside:

        def two_active() -> bool:
            return bool(beside.llen("asynq:{default}:active") == 2)

        async with App(server.url) as app:
            over = asyncio.Event()

            @app.task("greedy")
            async def greedy() -> None:
                if not active:
                    # The event loop is blocked: what Redis executes now was sent before.
                    until("the next task is taken", two_active)
                active.append(1)
                if len(active) == 4:
                    over.set()

            await app.enqueue_many(greedy.task() for _ in range(4))
            async with app.server(concurrency=2).running(app.mux):
                await within(over.wait())
