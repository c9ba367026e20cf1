"""Pipelining: every reply reaches its caller, whatever the others do. Against real servers."""

from __future__ import annotations

import asyncio
from asyncio import to_thread

import pytest

from tests.brokers.redis.connection.opening import opened, outcome
from tests.brokers.redis.support.servers import RedisServer


async def test_replies_are_in_the_order_of_the_calls(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        counts = await asyncio.gather(*(connection.call("INCR", "n") for _ in range(1000)))
        assert counts == list(range(1, 1001))
        echoes = await asyncio.gather(*(connection.call("ECHO", number) for number in range(1000)))
        assert echoes == [str(number).encode() for number in range(1000)]


async def test_arguments_and_replies_are_bytes(redis_server: RedisServer) -> None:
    every = bytes(range(256))
    async with opened(redis_server.url) as connection:
        await connection.call("SET", "ключ", every)
        assert await connection.call(b"GET", "ключ".encode()) == every
        assert await connection.call("INCRBYFLOAT", "f", 1.5) == b"1.5"
        assert await connection.call("INCRBY", "i", -3) == -3
        assert await connection.call("GET", "missing") is None
        assert await connection.call("MGET", "i", "missing") == [b"-3", None]


async def test_concurrent_calls_are_sent_together(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        before = await to_thread(redis_server.cli, "INFO", "stats")
        await asyncio.gather(*(connection.call("ECHO", "x" * 100) for _ in range(100)))
        after = await to_thread(redis_server.cli, "INFO", "stats")
    # 100 commands of 120 bytes, in reads of 16 KiB, and the INFO command.
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 5


async def test_an_invalid_argument_does_not_affect_other_calls(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        first = connection.call("ECHO", "a")
        with pytest.raises(TypeError):
            connection.call("SET", "key", None)
        second = connection.call("ECHO", "b")
        assert (await first, await second) == (b"a", b"b")


async def test_a_cancelled_call_does_not_shift_replies(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        calls = [asyncio.ensure_future(connection.call("ECHO", number)) for number in range(100)]
        calls[0].cancel()  # before it was sent
        await asyncio.sleep(0)
        for call in calls[1::2]:
            call.cancel()  # after it was sent
        answers = await asyncio.gather(*calls[2::2])
        assert answers == [str(number).encode() for number in range(2, 100, 2)]
        assert await connection.call("ECHO", "next") == b"next"


async def test_a_call_cancelled_while_blocked_does_not_shift_replies(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        slow = asyncio.create_task(outcome(connection.call("BLPOP", "nothing", 0.2)))
        await asyncio.sleep(0)
        slow.cancel()
        assert await connection.call("ECHO", "next") == b"next"


async def test_large_replies_and_large_commands(redis_server: RedisServer) -> None:
    big = b"x" * 20_000_000
    async with opened(redis_server.url) as connection:
        # More than the socket buffers hold, so later commands wait for earlier ones.
        answers = await asyncio.gather(
            connection.call("SET", "big", big),
            connection.call("GET", "big"),
            *(connection.call("ECHO", big[:1_000_000]) for _ in range(20)),
            connection.call("STRLEN", "big"),
        )
        assert answers[0] == b"OK"
        assert answers[1] == big
        assert {len(answer) for answer in answers[2:-1]} == {1_000_000}
        assert answers[-1] == len(big)
