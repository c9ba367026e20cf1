"""Notifications: changes by any client, Go's included, are reported at once, without polling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import redis

from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.core.task.message import TaskRef
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry, message, settlement
from tests.conformance.helpers import TIMEOUT, is_notified, put, take

#: The script of Go's enqueue.
GO_ENQUEUE = """
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])
redis.call('LPUSH', KEYS[2], ARGV[2])
"""
QUIET = 0.2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def broker(server: RedisServer) -> AsyncIterator[Store]:
    async with open_broker(server.url) as broker:
        yield broker


async def calm(watch: signals.Watch) -> None:
    """Wait until no signal has arrived for a while: the push connection is open, and its first signals are over."""
    assert await is_notified(watch)
    while await watch.wait(QUIET):
        pass


def go_enqueues(server: RedisServer, id: str) -> None:
    with redis.Redis(port=server.port) as go:
        go.eval(
            GO_ENQUEUE,
            2,
            f"asynq:{{default}}:t:{id}",
            "asynq:{default}:pending",
            encode_task(message(id)),
            id,
            1,
        )


async def test_an_enqueue_by_go_notifies_a_waiting_fetcher(broker: Store, server: RedisServer) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await calm(watch)
        await asyncio.to_thread(go_enqueues, server, "a")
        assert await is_notified(watch)
    assert [lease.message.id for lease in await take(broker)] == ["a"]


async def test_a_queue_resumed_by_gos_inspector_notifies(broker: Store, server: RedisServer) -> None:
    await broker.pause("default", True)
    with broker.watch([signals.pending("default")]) as watch:
        await calm(watch)
        await asyncio.to_thread(server.cli, "DEL", "asynq:{default}:paused")
        assert await is_notified(watch)


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        (signals.due("default"), ("ZADD", "asynq:{default}:scheduled", 1, "a")),
        (signals.due("default"), ("ZADD", "asynq:{default}:retry", 1, "a")),
        (signals.grouped("default"), ("SADD", "asynq:{default}:groups", "news")),
    ],
)
async def test_each_topic_has_its_keys(
    broker: Store, server: RedisServer, topic: signals.Topic, words: tuple[str | int, ...]
) -> None:
    with broker.watch([topic]) as watch:
        await calm(watch)
        await asyncio.to_thread(server.cli, *words)
        assert await is_notified(watch)


async def test_changes_of_other_queues_do_not_notify(broker: Store, server: RedisServer) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await calm(watch)
        await put(broker, entry(queue="other"), entry(at=4e9))
        assert not await watch.wait(QUIET)


async def test_successive_watches_are_all_notified(broker: Store) -> None:
    watches = [broker.watch([signals.pending(f"q{number % 5}")]) for number in range(10)]
    await calm(watches[0])
    watches += [broker.watch([signals.pending(f"q{number % 7}")]) for number in range(10)]
    for watch in watches:
        await calm_or_quiet(watch) if watch is watches[-1] else watch.clear()
    await put(broker, *(entry(queue=f"q{number}") for number in range(7)))
    for watch in watches:
        assert await is_notified(watch)
        watch.close()


async def test_a_caller_waiting_for_a_task_is_notified_when_go_ends_it(
    broker: Store, server: RedisServer
) -> None:
    await put(broker, entry("a"), entry("b"))
    ref = TaskRef("default", "a")
    with broker.watch([signals.ended(ref)]) as watch:
        while await watch.wait(QUIET):
            pass
        # the task starts: no notification
        await asyncio.to_thread(server.cli, "HSET", "asynq:{default}:t:a", "state", "active")
        assert not await watch.wait(QUIET)
        # a retry does not end the task either
        await asyncio.to_thread(server.cli, "HSET", "asynq:{default}:t:a", "state", "retry")
        assert not await watch.wait(QUIET)
        await asyncio.to_thread(server.cli, "HSET", "asynq:{default}:t:a", "state", "completed")
        assert await is_notified(watch)


async def test_a_caller_waiting_for_an_ended_task_is_notified_at_once(broker: Store) -> None:
    with broker.watch([signals.ended(TaskRef("default", "never was"))]) as watch:
        assert await is_notified(watch)


async def test_notifications_continue_after_a_restart_of_the_server(
    broker: Store, server: RedisServer
) -> None:
    ref = TaskRef("default", "later")
    with broker.watch([signals.pending("default")]) as pending, broker.watch([signals.ended(ref)]) as ended:
        await calm(pending)
        # When the server is back, all watches are notified, because changes may have been missed
        await asyncio.to_thread(server.restart)
        assert await is_notified(pending)
        await calm_or_quiet(pending)
        await asyncio.to_thread(go_enqueues, server, "later")
        assert await is_notified(pending)
        [lease] = await take(broker)
        await broker.settle([settlement(lease)])
        assert await is_notified(ended)


async def calm_or_quiet(watch: signals.Watch) -> None:
    while await watch.wait(QUIET):
        pass


async def test_go_cancels_by_id_and_we_by_queue_and_id(broker: Store, server: RedisServer) -> None:
    async with aclosing(broker.cancellations()) as calls:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(calls))
        while not first.done():
            await asyncio.to_thread(server.cli, "PUBLISH", "asynq:cancel", "warm-up")
            await asyncio.wait([first], timeout=0.05)
        assert (await first).ref == TaskRef("", "warm-up")
        await broker.cancel([TaskRef("low", "a")])
        await asyncio.to_thread(server.cli, "PUBLISH", "asynq:cancel", "a")
        received = []
        async with asyncio.timeout(TIMEOUT):
            while TaskRef("", "a") not in received:
                received.append((await anext(calls)).ref)
        # ours once, although it was published on Go's channel too; then Go's
        assert [ref for ref in received if ref.id == "a"] == [TaskRef("low", "a"), TaskRef("", "a")]


async def test_a_cancellation_stays_in_its_database(broker: Store, server: RedisServer) -> None:
    """Redis delivers a channel to the clients of all databases."""
    async with (
        open_broker(f"redis://127.0.0.1:{server.port}/1") as other,
        aclosing(broker.cancellations()) as calls,  # type: ignore[type-var]
    ):
        first = asyncio.ensure_future(anext(calls))
        while not first.done():
            await asyncio.to_thread(server.cli, "PUBLISH", "asynq:cancel", "warm-up")
            await asyncio.wait([first], timeout=0.05)
        # When the same ids are cancelled in another database, then here, then by Go
        await other.cancel([TaskRef("low", "a"), TaskRef("low", "b")], archive=True)
        await broker.cancel([TaskRef("low", "a")])
        await asyncio.to_thread(server.cli, "PUBLISH", "asynq:cancel", "b")
        # Then only the last two arrive, each once
        received = list[TaskRef]()
        async with asyncio.timeout(TIMEOUT):
            while TaskRef("", "b") not in received:
                received.append((await anext(calls)).ref)
        assert [ref for ref in received if ref.id in "ab"] == [TaskRef("low", "a"), TaskRef("", "b")]


async def test_gos_channel_carries_the_bare_id(broker: Store, server: RedisServer) -> None:
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[str] = asyncio.Queue()

    def listen() -> None:
        client = redis.Redis(port=server.port, decode_responses=True)
        with client.pubsub() as go:  # type: ignore[no-untyped-call]
            go.subscribe("asynq:cancel")
            for said in go.listen():
                loop.call_soon_threadsafe(received.put_nowait, str(said["data"]))
                if said["type"] == "message":
                    return

    listening = asyncio.create_task(asyncio.to_thread(listen))
    async with asyncio.timeout(TIMEOUT):
        assert await received.get() == "1"  # subscribed
        await broker.cancel([TaskRef("low", "a")])
        assert await received.get() == "a"
        await listening


@pytest.fixture
def silent_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Some proxies and services lack client tracking; simulated by a user without permission for it."""
    users = {"worker": "~* &* +@all -client|tracking"}
    with RedisServer(tmp_path / "silent", users=users) as server:
        yield server


async def test_a_redis_without_client_tracking_is_polled(
    silent_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_broker(silent_server.url) as broker:
        with broker.watch([signals.pending("default")]) as watch, caplog.at_level(logging.WARNING):
            assert await is_notified(watch)
            watch.clear()
            await put(broker, entry("a"))
            assert await is_notified(watch)
            assert "does not support client tracking" in caplog.text
