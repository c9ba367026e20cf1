"""Paused task types: stored with the queue, published to watches."""

from __future__ import annotations

from functools import partial

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import in_other_thread, is_notified, put, queue_exists, take


async def test_pause_type_says_whether_it_changed_something(broker: Store) -> None:
    await put(broker, entry("a"))
    answers = [
        await broker.pause_type("default", "email:send", paused)
        for paused in (False, True, True, False, False)
    ]
    assert answers == [False, True, False, True, False]


async def test_paused_types_are_listed_by_queue_with_their_times(broker: Store, clock: FakeClock) -> None:
    start = clock.now()
    await broker.pause_type("default", "b", True)
    clock.advance(5)
    await broker.pause_type("default", "a ü", True)
    await broker.pause_type("default", "b", True)
    await broker.pause_type("other", "c", True)
    assert await broker.paused_types(["default", "ghost"]) == {"default": {"a ü": start + 5, "b": start}}
    assert await broker.paused_types([]) == {}
    assert await broker.paused_types(["ghost"]) == {}


async def test_a_type_can_be_paused_before_its_first_task(broker: Store) -> None:
    await broker.pause_type("default", "later", True)
    assert await queue_exists(broker, "default")
    await broker.pause_type("ghost", "later", False)
    assert not await queue_exists(broker, "ghost")


async def test_dequeue_returns_tasks_of_paused_types(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause_type("default", "email:send", True)
    assert len(await take(broker)) == 1


async def test_pausing_and_resuming_a_type_notifies_watches(broker: Store) -> None:
    with broker.watch([signals.types("default")]) as watch:
        for paused in (True, False, True, False):  # a store may notify once when it starts to listen
            await in_other_thread(broker, partial(_pause, paused=paused))
            assert await is_notified(watch)


async def _pause(store: Store, *, paused: bool) -> None:
    await store.pause_type("default", "a", paused)


async def test_removing_a_queue_deletes_its_paused_types(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause_type("default", "email:send", True)
    await broker.remove_queue("default", force=True)
    assert await broker.paused_types(["default"]) == {}
