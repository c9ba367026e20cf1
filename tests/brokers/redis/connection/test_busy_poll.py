"""Connections poll for replies that come soon, and sleep until the others arrive."""

from __future__ import annotations

import asyncio
import selectors
from asyncio import to_thread
from typing import Any

import pytest

from asynqio.brokers.redis.connection.blocking import BlockingConnection
from asynqio.brokers.redis.connection.busy_poll import LONGEST, MOST_SKIPPED, BusyPoll
from asynqio.brokers.redis.url import parse
from tests.brokers.redis.connection.opening import opened
from tests.brokers.redis.support.servers import RedisServer


def skipped(poll: BusyPoll) -> int:
    """How many replies pass until it polls again."""
    count = 0
    while not poll.begins():
        count += 1
    return count


def test_it_polls_as_long_as_that_succeeds() -> None:
    poll = BusyPoll()
    for _ in range(100):
        assert poll.begins()
        poll.hit()


def test_it_polls_ever_less_often_when_replies_take_longer() -> None:
    poll = BusyPoll()
    between = []
    for _ in range(14):
        between.append(skipped(poll))
        poll.miss()
    assert between == [0, *(2**step for step in range(11)), MOST_SKIPPED, MOST_SKIPPED]


def test_one_hit_makes_it_poll_each_time_again() -> None:
    poll = BusyPoll()
    for _ in range(20):
        skipped(poll)
        poll.miss()
    assert skipped(poll) == MOST_SKIPPED
    poll.hit()
    assert poll.begins()
    poll.miss()
    assert skipped(poll) == 1


class Looks(selectors.DefaultSelector):
    """Counts how often an event loop looks for events without waiting for them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def select(self, timeout: float | None = None) -> Any:
        self.count += timeout == 0
        return super().select(timeout)


def test_an_event_loop_sleeps_while_a_reply_does_not_come(server: RedisServer) -> None:
    looks = Looks()

    async def main() -> None:
        async with opened(server.url) as connection:
            await connection.call("PING")
            server.pause()
            try:
                answer = connection.call("PING")
                await asyncio.sleep(100 * LONGEST)
                before = looks.count
                await asyncio.sleep(1_000 * LONGEST)
                assert looks.count - before < 5
            finally:
                server.unpause()
            assert await answer == b"PONG"

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(looks)) as runner:
        runner.run(main())


async def test_other_coroutines_run_while_a_connection_polls(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        for number in range(100):
            await connection.call("ECHO", number)
        beside.cancel()
        assert turns > 100


@pytest.mark.parametrize("pause", ["0", "0.01"])
async def test_each_reply_reaches_its_command(redis_server: RedisServer, pause: str) -> None:
    """Whether it comes while the connection polls, or later."""
    script = (
        "local t = redis.call('TIME') local e = t[1] + t[2] / 1e6 + ARGV[1] "
        "repeat t = redis.call('TIME') until t[1] + t[2] / 1e6 >= e return ARGV[2]"
    )
    async with opened(redis_server.url) as connection:
        for number in range(20):
            answers = [connection.call("EVAL", script, 0, pause, f"{number} {at}") for at in range(3)]
            assert await asyncio.gather(*answers) == [f"{number} {at}".encode() for at in range(3)]

    def blocking() -> None:
        settings = parse(redis_server.url)
        one = BlockingConnection(settings, settings.path or settings.nodes[0])
        for number in range(20):
            commands = [("EVAL", script, 0, pause, f"{number} {at}") for at in range(3)]
            assert one.call(commands) == [f"{number} {at}".encode() for at in range(3)]
        one.close()

    await to_thread(blocking)
