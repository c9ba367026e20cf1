"""Watches: nothing is missed between looking and waiting, from whatever thread it comes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.signals import Signals
from asynqio.core.task.message import TaskRef

A, B = signals.pending("a"), signals.pending("b")
TIMEOUT = 20.0


async def test_a_watch_knows_only_what_came_after_it_was_opened() -> None:
    hub = Signals()
    hub.publish([A])
    with hub.watch([A]) as watch:
        assert await watch.wait(0) is False
        hub.publish([A])
        assert await watch.wait(0) is True


async def test_a_wait_uses_up_what_it_was_told() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        hub.publish([A])
        hub.publish([A])
        assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_what_was_published_can_be_forgotten() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        hub.publish([A])
        watch.clear()
        assert await watch.wait(0) is False


async def test_a_watch_hears_its_own_topics_only() -> None:
    hub = Signals()
    with hub.watch([A, signals.due("a")]) as watch:
        hub.publish([B, signals.grouped("a"), signals.ended(TaskRef("a", "1"))])
        assert await watch.wait(0) is False
        hub.publish([B, signals.due("a")])
        assert await watch.wait(0) is True


async def test_a_wait_that_runs_is_woken() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait(TIMEOUT))
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.publish([A])
        assert await waiting is True


async def test_a_wait_without_news_ends_at_its_timeout_and_says_so() -> None:
    with Signals().watch([A]) as watch:
        assert await watch.wait(0.001) is False


async def test_a_canceled_wait_forgets_nothing() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait())
        await asyncio.sleep(0)
        hub.publish([A])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await watch.wait(0) is True


async def test_a_closed_watch_is_forgotten() -> None:
    hub = Signals()
    one, two = hub.watch([A]), hub.watch([A])
    assert hub.watched("pending")
    one.close()
    one.close()
    assert hub.watched("pending")
    hub.publish([A])
    assert [await one.wait(0), await two.wait(0)] == [False, True]
    two.close()
    assert not hub.watched("pending")
    assert not hub.watched("due")


async def test_everybody_can_be_woken_or_all_of_one_kind() -> None:
    hub = Signals()
    with hub.watch([A]) as pending, hub.watch([signals.ended(TaskRef("a", "1"))]) as ended:
        hub.publish_all("ended")
        assert [await pending.wait(0), await ended.wait(0)] == [False, True]
        hub.publish_all()
        assert [await pending.wait(0), await ended.wait(0)] == [True, True]


async def test_a_signal_from_another_thread_wakes_the_loop() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait(TIMEOUT))
        await asyncio.sleep(0)
        await asyncio.to_thread(hub.publish, [A])
        assert await waiting is True


async def test_nothing_is_missed_between_looking_and_waiting() -> None:
    # Given somebody in another thread who puts things in and says so, as fast as possible
    hub, shelf, count = Signals(), list[int](), 2_000

    def produce() -> None:
        for number in range(count):
            shelf.append(number)
            hub.publish([A])

    seen = 0
    with hub.watch([A]) as watch:
        producer = threading.Thread(target=produce)
        producer.start()
        # When one looks, and waits whenever there is nothing new
        while seen < count:
            there = len(shelf)
            if there == seen:
                assert await watch.wait(TIMEOUT), "slept although there was something"
            seen = there
        # Then one sees everything, and never sleeps on it
        assert shelf == list(range(count))
    await asyncio.to_thread(producer.join)


def test_a_signal_to_a_loop_that_is_gone_is_nobodys_problem() -> None:
    hub = Signals()

    async def open_and_forget() -> None:
        hub.watch([A])

    asyncio.run(open_and_forget())
    hub.publish([A])
    thread = threading.Thread(target=hub.publish, args=([A],))
    thread.start()
    thread.join()
    assert hub.watched("pending")


def test_a_loop_that_closes_while_it_is_told_is_nobodys_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a watch whose loop is closed, and a publisher in another thread that looked just before that
    hub = Signals()

    async def open_and_forget() -> None:
        hub.watch([A])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(open_and_forget())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    # When it tells the watch
    problems: list[BaseException] = []

    def publish() -> None:
        try:
            hub.publish([A])
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=publish)
    thread.start()
    thread.join()
    # Then what it did is done all the same: it gets no exception
    assert problems == []


def test_a_watch_needs_a_running_loop() -> None:
    hub = Signals()
    with pytest.raises(RuntimeError, match="no running event loop"):
        hub.watch([A])
    assert not hub.watched("pending")


def test_topics_differ_by_kind_queue_and_id() -> None:
    topics = {
        make(queue) for make in (signals.pending, signals.due, signals.grouped) for queue in ("a", "b")
    } | {signals.ended(TaskRef(queue, id)) for queue in ("a", "b") for id in ("1", "2")}
    assert len(topics) == 10
