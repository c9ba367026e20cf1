"""A connection that breaks: what is lost, what waits, and how it reconnects. Against real servers."""

from __future__ import annotations

import asyncio
import random
import time
from asyncio import to_thread
from collections.abc import Iterator

import pytest
from benchmarks.network.proxy import DelayingProxy

from asynqio.brokers.redis.connection.errors import ReplyLost
from asynqio.brokers.redis.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.redis.settings import Address
from asynqio.brokers.redis.url import parse
from asynqio.errors import BrokerUnavailable
from tests.brokers.redis.connection.opening import SOON, clients, opened, outcome
from tests.brokers.redis.support.servers import RedisServer


async def test_unsent_calls_wait_for_the_server_and_sent_ones_are_lost(server: RedisServer) -> None:
    async with opened(f"{server.url}?patience=20") as connection:
        lost = [asyncio.ensure_future(outcome(connection.call("BLPOP", "nothing", 0))) for _ in range(3)]
        await until_blocked(server)
        await to_thread(server.kill)
        for error in await asyncio.gather(*lost):
            assert isinstance(error, ReplyLost)
            assert "may or may not have run" in str(error)
        waiting = [asyncio.ensure_future(outcome(connection.call("INCR", "n"))) for _ in range(10)]
        gone = asyncio.ensure_future(connection.call("INCR", "n"))
        await asyncio.sleep(0)
        gone.cancel()
        assert not any(call.done() for call in waiting)
        await to_thread(server.start)
        assert await asyncio.gather(*waiting) == list(range(1, 11))
        assert await connection.call("GET", "n") == b"10"


async def until_blocked(server: RedisServer) -> None:
    """Return when the server has the BLPOP of this test."""
    while " cmd=blpop " not in str(await to_thread(server.cli, "CLIENT", "LIST")):
        pass


async def test_a_call_on_a_closed_connection_raises(server: RedisServer) -> None:
    async with opened(server.url) as connection:
        stale = connection.call
        await to_thread(server.restart)
        assert await connection.call("ECHO", "a") == b"a"
        for _ in range(2):
            error = await outcome(stale("ECHO", "a"))
            assert isinstance(error, BrokerUnavailable)
            assert "this call was not sent" in str(error)


async def test_a_call_waits_for_at_most_patience_seconds(server: RedisServer) -> None:
    async with opened(f"{server.url}?patience=0.3") as connection:
        await to_thread(server.kill)
        await outcome(connection.call("PING"))  # which may fail with the dead connection
        began = time.monotonic()
        error = await outcome(connection.call("PING"))
        assert 0.3 <= time.monotonic() - began < 2
        assert isinstance(error, BrokerUnavailable)
        assert not isinstance(error, ReplyLost)
        assert "was not sent" in str(error)


async def test_a_frozen_server_times_out(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=0.3&connect_timeout=0.3&patience=20") as connection:
        await to_thread(server.pause)
        began = time.monotonic()
        first, second = await asyncio.gather(
            outcome(connection.call("INCR", "a")), outcome(connection.call("INCR", "b"))
        )
        assert 0.3 <= time.monotonic() - began < 3
        assert isinstance(first, ReplyLost)
        assert isinstance(second, ReplyLost)
        assert "no reply within 0.3 s" in str(first)
        waiting = asyncio.ensure_future(connection.call("INCR", "c"))
        await asyncio.sleep(0)
        await to_thread(server.unpause)
        assert await waiting == 1


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    """A proxy in front of the shared server."""
    with DelayingProxy(redis_server.port) as made:
        yield made


async def test_a_command_without_reply_is_not_sent_again(
    proxy: DelayingProxy, redis_server: RedisServer
) -> None:
    async with opened(f"redis://127.0.0.1:{proxy.port}?patience=20") as connection:
        await to_thread(proxy.drop_replies, after="INCR")
        first, second = await asyncio.gather(
            outcome(connection.call("INCR", "n")), outcome(connection.call("ECHO", "a"))
        )
        assert isinstance(first, ReplyLost)
        assert isinstance(second, ReplyLost)
        assert await connection.call("GET", "n") == b"1"


async def test_concurrent_calls_share_the_network_delay(proxy: DelayingProxy) -> None:
    async with opened(f"redis://127.0.0.1:{proxy.port}") as connection:
        await to_thread(proxy.set_delay, 0.05)
        began = time.monotonic()
        await asyncio.gather(*(connection.call("ECHO", number) for number in range(100)))
        assert 0.1 <= time.monotonic() - began < 1


async def test_replies_never_reach_the_wrong_caller(proxy: DelayingProxy) -> None:
    chance = random.Random(7)
    asked = lost = left = 0
    answered: asyncio.Queue[bytes] = asyncio.Queue()

    async def caller(connection: ReconnectingConnection, name: int) -> None:
        nonlocal asked, lost, left
        while True:
            asked += 1
            question = f"{name} {asked} {'x' * chance.choice([0, 10, 100_000])}".encode()
            answer = asyncio.ensure_future(outcome(connection.call("ECHO", question)))
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice([0, 0.001]))
                answer.cancel()
            await asyncio.wait([answer])
            if answer.cancelled():
                left += 1
            elif isinstance(answer.result(), ReplyLost):
                lost += 1
            else:
                assert answer.result() == question
                answered.put_nowait(question)

    async with opened(f"redis://127.0.0.1:{proxy.port}?patience=20") as connection:
        callers = [asyncio.create_task(caller(connection, name)) for name in range(50)]
        async with asyncio.timeout(SOON):
            for _ in range(10):
                for _ in range(500):
                    await answered.get()
                await to_thread(proxy.cut)
        for task in callers:
            task.cancel()
        ends = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
    print(f"{asked} asked, {lost} lost, {left} left")
    assert lost
    assert left


async def test_a_network_that_drops_everything(proxy: DelayingProxy) -> None:
    url = f"redis://127.0.0.1:{proxy.port}?timeout=0.2&connect_timeout=0.2&patience=20"
    async with opened(url) as connection:
        await to_thread(proxy.stall)
        assert isinstance(await outcome(connection.call("ECHO", "a")), ReplyLost)
        waiting = asyncio.ensure_future(connection.call("ECHO", "b"))
        await asyncio.sleep(0)
        await to_thread(proxy.resume)
        assert await waiting == b"b"


async def test_replies_within_the_timeout_are_not_cut_off(redis_server: RedisServer) -> None:
    async with opened(f"{redis_server.url}?timeout=0.4") as connection:
        for _ in range(3):
            assert await connection.call("BLPOP", "nothing", 0.2) is None
        await asyncio.gather(*(connection.call("BLPOP", "nothing", 0.2) for _ in range(4)))


async def test_a_blocked_event_loop_does_not_count_as_a_timeout(redis_server: RedisServer) -> None:
    async with opened(f"{redis_server.url}?timeout=0.1") as connection:
        call = asyncio.ensure_future(outcome(connection.call("ECHO", "a")))
        await asyncio.sleep(0)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass  # like a CPU-bound handler
        assert await call == b"a"


async def test_backpressure_of_a_server_that_does_not_read(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=20&patience=20") as connection:
        await to_thread(server.pause)
        value = b"x" * 1_000_000
        calls = [asyncio.ensure_future(connection.call("SET", f"k{n}", value)) for n in range(5)]
        await asyncio.sleep(0)
        # The socket buffer is full now, so these are not written.
        calls += [asyncio.ensure_future(connection.call("APPEND", f"k{n}", value)) for n in range(5)]
        await asyncio.sleep(0)
        await to_thread(server.unpause)
        assert await asyncio.gather(*calls) == [b"OK"] * 5 + [2_000_000] * 5


async def test_unsent_data_of_a_full_socket_is_sent_after_a_restart(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=20&patience=20") as connection:
        await to_thread(server.pause)
        value = b"x" * 10_000_000
        sent = asyncio.ensure_future(outcome(connection.call("SET", "a", value)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        unsent = asyncio.ensure_future(outcome(connection.call("SET", "b", "c")))
        await asyncio.sleep(0)
        await to_thread(server.kill)
        assert isinstance(await sent, ReplyLost)
        await to_thread(server.start)
        assert await unsent == b"OK"


async def test_it_reconnects_without_a_call(server: RedisServer) -> None:
    async with opened(server.url):
        await to_thread(server.restart)
        while await clients(server) == 0:
            pass


async def test_reconnect_attempts_back_off(server: RedisServer) -> None:
    tries = 0
    settings = parse(f"{server.url}?patience=1.5")

    async def locate() -> Address:
        nonlocal tries
        tries += 1
        return settings.nodes[0]

    connection = ReconnectingConnection(settings, locate)
    await to_thread(server.kill)
    with pytest.raises(BrokerUnavailable):
        await connection.open()
    # 0.05, 0.1, 0.2, 0.4, 0.8 … seconds apart, each reduced by up to half.
    assert 4 <= tries <= 9


async def test_close_ends_even_if_the_driver_swallows_the_cancellation() -> None:
    asked = asyncio.Event()

    async def locate() -> Address:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnavailable("no sentinel knows") from None
        raise AssertionError("unreachable")

    connection = ReconnectingConnection(parse("redis://127.0.0.1:1?patience=5"), locate)
    connection.start()
    await asked.wait()
    async with asyncio.timeout(SOON):
        await connection.close()
