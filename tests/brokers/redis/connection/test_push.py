"""Push connections: messages arrive, do not shift replies, and continue after failures."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import PushConnection, PushConnections
from asynqio.brokers.redis.settings import Address
from asynqio.brokers.redis.url import parse
from asynqio.errors import BrokerUnavailable
from tests.brokers.redis.connection.pushes import PUSH, SOON, Received, opened, track
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.sentinels import RedisSentinels
from tests.brokers.redis.support.servers import RedisServer


async def test_a_write_in_a_script_is_reported_to_a_push_connection(redis_server: RedisServer) -> None:
    received = Received()
    async with opened(redis_server.url, received) as (redis, connections):
        await received.up()
        assert connections.is_ready("asynq:{q}:pending")
        took = []
        for number in range(200):
            began = time.perf_counter()
            call = redis.run(PUSH, ["asynq:{q}:pending"], [number])
            assert await received.next() == [b"invalidate", [b"asynq:{q}:pending"]]
            took.append(time.perf_counter() - began)
            await call
        print(f"received after {1000 * statistics.median(took):.2f} ms, at most {1000 * max(took):.2f} ms")
        await redis.command("other", "SET", "other", 1)
        await redis.command("asynq:x", "SET", "asynq:x", 1)
        assert await received.next() == [b"invalidate", [b"asynq:x"]]


async def test_close_ends_even_if_the_driver_swallows_the_cancellation(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def locate() -> Address:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnavailable("no sentinel knows") from None
        raise AssertionError("unreachable")

    redis = RedisClient(parse(redis_server.url))
    await redis.open()
    monkeypatch.setattr(redis._router, "masters", lambda: {"one": locate})
    received = Received()
    connections = PushConnections(redis.settings, redis._router, received.on_push, received.on_up)
    await connections.open()
    await asked.wait()
    async with asyncio.timeout(SOON):
        await connections.close()
    await redis.close()


async def test_push_connections_of_the_client(redis_server: RedisServer) -> None:
    received = Received()
    redis = RedisClient(parse(redis_server.url))
    await redis.open()
    connections = redis.push_connections(received.on_push, received.on_up)
    await connections.open()
    await received.up()
    await connections.close()
    await connections.close()
    await redis.close()


async def test_push_messages_do_not_shift_replies(redis_server: RedisServer) -> None:
    received = Received()
    async with opened(redis_server.url, received) as (redis, connections):
        await received.up()
        writes = [redis.command("asynq:x", "SET", f"asynq:{number}", 1) for number in range(500)]
        answers = await asyncio.gather(
            *(connections.call("asynq:x", "ECHO", number) for number in range(500))
        )
        assert answers == [str(number).encode() for number in range(500)]
        await asyncio.gather(*writes)
        keys: set[bytes] = set()
        while len(keys) < 500:
            keys.update((await received.next())[1])


async def test_channels(redis_server: RedisServer) -> None:
    received = Received()
    received.setup = lambda push: push.subscribe("a", b"b")
    async with opened(redis_server.url, received) as (redis, connections):
        push = await received.up()
        assert [await received.next(), await received.next()] == [
            [b"subscribe", b"a", 1],
            [b"subscribe", b"b", 2],
        ]
        echo = connections.call(None, "ECHO", "x")
        assert await redis.command(None, "PUBLISH", "a", b"\xff") == 1
        assert await received.next() == [b"message", b"a", b"\xff"]
        assert await echo == b"x"
        await push.unsubscribe("a")
        assert await received.next() == [b"unsubscribe", b"a", 1]
        assert await redis.command(None, "PUBLISH", "a", "x") == 0


async def test_a_forbidden_channel_raises(server: RedisServer) -> None:
    await to_thread(
        server.cli, "ACL", "SETUSER", "me", "on", "nopass", "~*", "+@all", "resetchannels", "&mine"
    )
    received = Received()
    errors: asyncio.Queue[RedisError] = asyncio.Queue()

    async def setup(push: PushConnection) -> None:
        before, subscribed = push.call("ECHO", 1), asyncio.ensure_future(push.subscribe("other"))
        await asyncio.sleep(0)
        after = push.call("ECHO", 2)
        with pytest.raises(RedisError) as refused:
            await subscribed
        assert (await before, await after) == (b"1", b"2")
        errors.put_nowait(refused.value)
        await push.subscribe("mine")

    received.setup = setup
    async with opened(f"redis://me@127.0.0.1:{server.port}", received):
        await received.up()
        assert errors.get_nowait().code == "NOPERM"
        assert await received.next() == [b"subscribe", b"mine", 1]


async def test_a_failing_callback_does_not_break_the_connection(redis_server: RedisServer) -> None:
    received = Received()
    ups = 0

    async def count(push: PushConnection) -> None:
        nonlocal ups
        ups += 1
        await track(push)

    received.setup = count
    first = True
    put = received.on_push

    def fail_once(frame: list[Any]) -> None:
        nonlocal first
        put(frame)
        if first:
            first = False
            raise ValueError("callback failed")

    received.on_push = fail_once  # type: ignore[method-assign]
    async with opened(redis_server.url, received) as (redis, _):
        await received.up()
        for _ in range(2):
            await redis.command("asynq:x", "SET", "asynq:x", 1)
            assert await received.next() == [b"invalidate", [b"asynq:x"]]
    assert ups == 1


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_it_reconnects_after_a_restart(server: RedisServer, end: str) -> None:
    received = Received()
    async with opened(f"{server.url}?patience=20", received) as (redis, connections):
        await received.up()
        await to_thread(getattr(server, end))
        with contextlib.suppress(BrokerUnavailable):
            while True:
                await connections.call("asynq:x", "PING")
        assert not connections.is_ready("asynq:x")
        await to_thread(server.start)
        await received.up()
        await redis.command("asynq:x", "SET", "asynq:x", 1)
        assert await received.next() == [b"invalidate", [b"asynq:x"]]


async def test_opening_while_the_server_is_down(server: RedisServer) -> None:
    received = Received()
    redis = RedisClient(parse(server.url))
    await to_thread(server.stop)
    connections = redis.push_connections(received.on_push, received.on_up)
    await connections.open()
    with pytest.raises(BrokerUnavailable, match="no push connection"):
        connections.call("asynq:x", "PING")
    await to_thread(server.start)
    await received.up()
    await connections.close()


async def test_a_frozen_server_is_noticed_by_checks(server: RedisServer) -> None:
    received = Received()
    url = f"{server.url}?timeout=0.2&connect_timeout=0.2"
    async with opened(url, received, check_every=0.1) as (_, connections):
        await received.up()
        await to_thread(server.pause)
        async with asyncio.timeout(SOON):
            while connections.is_ready("a"):  # noqa: ASYNC110  # it has no signal
                await asyncio.sleep(0.01)
        await to_thread(server.unpause)
        await received.up()


async def test_an_idle_push_connection_sends_only_checks(server: RedisServer) -> None:
    received = Received()
    async with opened(server.url, received, check_every=0.1):
        await received.up()
        before = await to_thread(server.cli, "INFO", "stats")
        await asyncio.sleep(0.55)  # five checks
        after = await to_thread(server.cli, "INFO", "stats")
        commands = after["total_commands_processed"] - before["total_commands_processed"]
        assert 3 <= commands - 1 <= 6


async def test_an_interrupted_setup_is_repeated(server: RedisServer) -> None:
    received = Received()
    begun: asyncio.Queue[str] = asyncio.Queue()

    async def once_stuck(push: PushConnection) -> None:
        received.setup = track
        begun.put_nowait("")
        try:
            await asyncio.Event().wait()
        finally:
            begun.put_nowait("cancelled")

    received.setup = once_stuck
    async with opened(server.url, received):
        await begun.get()
        await to_thread(server.cli, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await begun.get() == "cancelled"
        await received.up()


@pytest.mark.parametrize("error", [RedisError("ERR not today"), ValueError("not today")])
async def test_a_failed_setup_is_repeated(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    received = Received()

    async def fail(push: PushConnection) -> None:
        received.setup = track
        raise error

    received.setup = fail
    async with opened(redis_server.url, received):
        await received.up()
    assert "not today" in caplog.text


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    with RedisSentinels(tmp_path) as group:
        yield group


async def test_a_push_connection_follows_a_failover_of_sentinels(sentinels: RedisSentinels) -> None:
    received = Received()
    async with opened(f"{sentinels.url}?patience=20", received) as (redis, _):
        first = await received.up()
        await to_thread(sentinels.kill_master)
        second = await received.up()
        assert second.where != first.where
        assert await redis.command("asynq:x", "SET", "asynq:x", 1) == b"OK"
        assert await received.next() == [b"invalidate", [b"asynq:x"]]


async def test_every_master_of_a_cluster_has_a_push_connection(redis_cluster: RedisCluster) -> None:
    received = Received()
    async with opened(redis_cluster.url, received) as (redis, connections):
        places = {(await received.up()).where for _ in range(3)}
        assert all(connections.is_ready(f"{{{number}}}") for number in range(30))
        assert places == {f"127.0.0.1:{node.port}" for node in redis_cluster.nodes}
        for number in range(30):
            key = f"asynq:{{{number}}}:pending"
            assert connections.is_ready(key)
            await redis.run(PUSH, [key], ["x"])
            assert await received.next() == [b"invalidate", [key.encode()]]
            assert await connections.call(key, "CLIENT", "ID")


@pytest.fixture
def replicated_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster that survives the failure of a master."""
    with RedisCluster(tmp_path, replicas=1) as cluster:
        yield cluster


async def test_a_new_master_of_a_cluster_gets_a_push_connection(replicated_cluster: RedisCluster) -> None:
    received = Received()
    async with opened(replicated_cluster.url, received):
        for _ in range(3):
            await received.up()
        await to_thread(replicated_cluster.kill, 0)
        # No command is sent: the broken connection triggers the refresh of the slot map.
        assert (await received.up()).where == f"127.0.0.1:{replicated_cluster.nodes[3].port}"
