"""Connections poll for replies that come soon, and sleep until the others arrive."""

from __future__ import annotations

import asyncio
import selectors
from asyncio import to_thread
from typing import Any

import pytest

from asynqio.brokers.redis.connection.blocking import BlockingConnection
from asynqio.brokers.redis.connection.busy_poll import LONGEST, BusyPoll
from asynqio.brokers.redis.url import parse
from tests.brokers.redis.connection.opening import opened
from tests.brokers.redis.support.servers import RedisServer

#: Seconds: a reply while polling, and two while asleep.
POLLING, LATE, SOON = 40e-6, 120e-6, 41e-6


def replies(poll: BusyPoll, count: int, asleep: float, polling: float) -> int:
    """Take replies that need this time; return how many of them it polled for."""
    polled = 0
    for _ in range(count):
        polls = poll.begins()
        polled += polls
        poll.replied(polls, polling if polls else asleep)
    return polled


@pytest.mark.parametrize("asleep", [LATE, SOON], ids=["much", "little"])
def test_it_polls_where_replies_come_sooner_that_way(asleep: float) -> None:
    poll = BusyPoll()
    replies(poll, 100, asleep, POLLING)
    assert poll.polls
    assert replies(poll, 1_000, asleep, POLLING) > 970


@pytest.mark.parametrize("asleep", [POLLING, 0.1 * POLLING], ids=["equal", "worse"])
def test_it_sleeps_where_polling_saves_no_time(asleep: float) -> None:
    poll = BusyPoll()
    replies(poll, 1_000, asleep, POLLING)
    assert not poll.polls
    assert replies(poll, 1_000, asleep, POLLING) < 6


def test_it_sleeps_while_replies_come_later_than_it_polls() -> None:
    poll = BusyPoll()
    replies(poll, 1_000, 0.002, LONGEST + 0.002)
    assert replies(poll, 10_000, 0.002, LONGEST + 0.002) < 50


def test_it_follows_when_the_machine_becomes_busy_and_idle_again() -> None:
    poll = BusyPoll()
    for _ in range(3):
        replies(poll, 1_000, LATE, POLLING)
        assert poll.polls
        replies(poll, 3_000, POLLING, LATE)
        assert not poll.polls


def test_one_late_reply_changes_nothing() -> None:
    poll = BusyPoll()
    replies(poll, 100, LATE, POLLING)
    assert poll.begins()
    poll.replied(True, 30.0)  # the event loop was blocked
    assert replies(poll, 50, LATE, POLLING) > 40


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
            for _ in range(100):  # it may poll
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
