"""Watches: no signal is missed between reading and waiting, from any thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.signals import Signals
from asynqio.core.task.message import TaskRef

A, B = signals.pending("a"), signals.pending("b")
TIMEOUT = 20.0


async def test_a_watch_receives_signals_from_its_opening_on() -> None:
    hub = Signals()
    hub.publish([A])
    with hub.watch([A]) as watch:
        assert await watch.wait(0) is False
        hub.publish([A])
        assert await watch.wait(0) is True


async def test_a_wait_consumes_the_signals() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        hub.publish([A])
        hub.publish([A])
        assert [await watch.wait(0), await watch.wait(0)] == [True, False]


async def test_clear_discards_signals() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        hub.publish([A])
        watch.clear()
        assert await watch.wait(0) is False


async def test_a_watch_receives_its_own_topics_only() -> None:
    hub = Signals()
    with hub.watch([A, signals.due("a")]) as watch:
        hub.publish([B, signals.grouped("a"), signals.ended(TaskRef("a", "1"))])
        assert await watch.wait(0) is False
        hub.publish([B, signals.due("a")])
        assert await watch.wait(0) is True


async def test_a_signal_ends_a_running_wait() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait(TIMEOUT))
        await asyncio.sleep(0)
        assert not waiting.done()
        hub.publish([A])
        assert await waiting is True


async def test_a_wait_without_a_signal_returns_false_at_its_timeout() -> None:
    with Signals().watch([A]) as watch:
        assert await watch.wait(0.001) is False


async def test_a_cancelled_wait_loses_no_signal() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait())
        await asyncio.sleep(0)
        hub.publish([A])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await watch.wait(0) is True


async def test_a_closed_watch_is_removed() -> None:
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


async def test_publish_all_notifies_every_watch_or_all_of_one_kind() -> None:
    hub = Signals()
    with hub.watch([A]) as pending, hub.watch([signals.ended(TaskRef("a", "1"))]) as ended:
        hub.publish_all("ended")
        assert [await pending.wait(0), await ended.wait(0)] == [False, True]
        hub.publish_all()
        assert [await pending.wait(0), await ended.wait(0)] == [True, True]


async def test_a_signal_from_another_thread_wakes_the_event_loop() -> None:
    hub = Signals()
    with hub.watch([A]) as watch:
        waiting = asyncio.create_task(watch.wait(TIMEOUT))
        await asyncio.sleep(0)
        await asyncio.to_thread(hub.publish, [A])
        assert await waiting is True


async def test_no_signal_is_missed_between_reading_and_waiting() -> None:
    # Given another thread that adds items and publishes, as fast as possible
    hub, shelf, count = Signals(), list[int](), 2_000

    def produce() -> None:
        for number in range(count):
            shelf.append(number)
            hub.publish([A])

    seen = 0
    with hub.watch([A]) as watch:
        producer = threading.Thread(target=produce)
        producer.start()
        # When the test reads, and waits whenever there is no new item
        while seen < count:
            there = len(shelf)
            if there == seen:
                assert await watch.wait(TIMEOUT), "slept although there was something"
            seen = there
        # Then it reads every item, and no wait times out
        assert shelf == list(range(count))
    await asyncio.to_thread(producer.join)


def test_a_signal_to_a_closed_event_loop_is_ignored() -> None:
    hub = Signals()

    async def open_and_forget() -> None:
        hub.watch([A])

    asyncio.run(open_and_forget())
    hub.publish([A])
    thread = threading.Thread(target=hub.publish, args=([A],))
    thread.start()
    thread.join()
    assert hub.watched("pending")


def test_a_signal_to_an_event_loop_that_is_closing_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a watch whose event loop closes just after a publisher in another thread checked it
    hub = Signals()

    async def open_and_forget() -> None:
        hub.watch([A])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(open_and_forget())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)
    # When it notifies the watch
    problems: list[BaseException] = []

    def publish() -> None:
        try:
            hub.publish([A])
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=publish)
    thread.start()
    thread.join()
    # Then the publisher gets no exception
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
