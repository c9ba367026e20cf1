"""What watches cost Redis and its other clients: tracked keys, no prefixes, and no reports to a busy worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry
from tests.conformance.helpers import is_notified, put, take

QUEUES = [f"q{number}" for number in range(1_000)]
TOPICS = [
    kind(queue) for queue in QUEUES for kind in (signals.pending, signals.due, signals.grouped, signals.types)
]


@pytest.fixture
async def broker(redis_server: RedisServer) -> AsyncIterator[Store]:
    async with open_broker(redis_server.url) as broker:
        yield broker


def info(server: RedisServer, section: str, name: str) -> int:
    found = server._client.info(section)
    assert isinstance(found, dict)
    return int(found[name])


def tracked(server: RedisServer) -> int:
    """The number of keys on which Redis reports the next change."""
    return info(server, "stats", "tracking_total_keys")


async def until_tracked(watch: signals.Watch) -> None:
    """Wait until the watch is tracked. Consumes its signals."""
    while not watch.is_tracked:
        await watch.wait(0.05)


async def test_a_watch_on_many_queues_has_no_prefixes(broker: Store, redis_server: RedisServer) -> None:
    """Redis compares each written key, also those of other applications, with every prefix."""
    with broker.watch(TOPICS) as watch:
        await watch.wait()
        await put(broker, entry(queue=QUEUES[-1]))
        assert await is_notified(watch)
        prefixes = await asyncio.to_thread(info, redis_server, "stats", "tracking_total_prefixes")
        clients = await asyncio.to_thread(info, redis_server, "clients", "tracking_clients")
    print(f"{prefixes} prefixes, {clients} tracking clients")
    assert (prefixes, clients) == (0, 1)


async def test_a_change_of_any_of_many_queues_is_reported(broker: Store, redis_server: RedisServer) -> None:
    with broker.watch(TOPICS) as watch:
        await until_tracked(watch)
        for queue in QUEUES[::100]:
            watch.clear()
            await put(broker, entry(queue=queue))
            assert await is_notified(watch)
            await until_tracked(watch)


async def test_a_busy_worker_receives_no_reports(broker: Store, redis_server: RedisServer) -> None:
    """Redis reports the next change of a key that was read, and the keys are read when a watch waits."""
    with broker.watch([signals.pending("default")]) as watch:
        await until_tracked(watch)
        before = await asyncio.to_thread(tracked, redis_server)
        for number in range(20):
            await put(broker, entry(f"t{number}"))
            await take(broker)
        assert watch.is_tracked is False
        assert await asyncio.to_thread(tracked, redis_server) == before - 1
        await until_tracked(watch)
        await put(broker, entry("last"))
        assert await is_notified(watch)


async def test_a_task_that_was_enqueued_before_the_wait_is_found_by_it(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await until_tracked(watch)
        await put(broker, entry("a"))
        while watch.is_tracked:  # noqa: ASYNC110  # a report that notifies is what the test excludes
            await asyncio.sleep(0.001)
        watch.clear()  # as before a dequeue, which another task ends
        await put(broker, entry("b"))
        assert await is_notified(watch)


async def test_an_empty_or_paused_queue_does_not_notify(broker: Store, redis_server: RedisServer) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await until_tracked(watch)
        await broker.pause("default", True)
        await put(broker, entry("a"))
        while await watch.wait(0.2):
            pass
        await broker.pause("default", False)
        assert await is_notified(watch)


def next_due(watch: signals.Watch) -> float | None:
    """When the next task is due, if that is known."""
    known = watch.due_queues(0.0)
    return None if known is None else known.next_at


async def test_the_next_due_time_is_known_without_a_call(broker: Store, redis_server: RedisServer) -> None:
    with broker.watch([signals.due("one"), signals.due("two")]) as watch:
        await until_tracked(watch)
        assert next_due(watch) == float("inf")
        for queue, at in (("one", 4e9), ("two", 3e9)):
            await put(broker, entry("a", queue=queue, at=at))
            await until_tracked(watch)
            while next_due(watch) != at:
                await watch.wait(1)
        assert watch.due_queues(3e9 - 1) == ([], 3e9)
        assert watch.due_queues(3e9) == (["two"], 4e9)
        assert watch.due_queues(4e9) == (["one", "two"], float("inf"))
        await broker.move(Action.DELETE, [TaskRef("two", "a")])
        while next_due(watch) != 4e9:
            await watch.wait(1)
        await asyncio.to_thread(redis_server.cli, "FLUSHALL")
        while next_due(watch) != float("inf"):
            await watch.wait(1)


async def test_a_key_of_the_wrong_type_is_read_once(broker: Store, redis_server: RedisServer) -> None:
    await asyncio.to_thread(redis_server.cli, "SET", "asynq:{default}:pending", "damage")
    with broker.watch([signals.pending("default"), signals.pending("sound")]) as watch:
        await until_tracked(watch)
        while await watch.wait(0.2):
            pass
        await put(broker, entry("a", queue="sound"))
        assert await is_notified(watch)


async def test_joins_of_a_known_group_by_go_notify(broker: Store, redis_server: RedisServer) -> None:
    async def go(*words: str | int) -> None:
        await asyncio.to_thread(redis_server.cli, *words)

    await go("SADD", "asynq:{default}:groups", "news")
    await go("ZADD", "asynq:{default}:g:news", 1, "a")
    with broker.watch([signals.grouped("default")]) as watch:
        for member in "bcd":
            await until_tracked(watch)
            watch.clear()
            await go("ZADD", "asynq:{default}:g:news", 1, member)
            assert await is_notified(watch)
