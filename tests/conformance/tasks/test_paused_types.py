"""Which task types are paused: kept with the queue, told to those who watch."""

from __future__ import annotations

from functools import partial

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.looks import elsewhere, put, queue_exists, take, woken


async def test_pausing_a_type_says_whether_it_changed_something(broker: Store) -> None:
    await put(broker, entry("a"))
    answers = [
        await broker.pause_type("default", "email:send", paused)
        for paused in (False, True, True, False, False)
    ]
    assert answers == [False, True, False, True, False]


async def test_paused_types_are_listed_by_queue_with_since_when(broker: Store, clock: FakeClock) -> None:
    start = clock.now()
    await broker.pause_type("default", "b", True)
    clock.advance(5)
    await broker.pause_type("default", "a ü", True)
    await broker.pause_type("default", "b", True)
    await broker.pause_type("other", "c", True)
    assert await broker.paused_types(["default", "ghost"]) == {"default": {"a ü": start + 5, "b": start}}
    assert await broker.paused_types([]) == {}
    assert await broker.paused_types(["ghost"]) == {}


async def test_a_type_may_be_paused_before_its_first_task(broker: Store) -> None:
    await broker.pause_type("default", "later", True)
    assert await queue_exists(broker, "default")
    await broker.pause_type("ghost", "later", False)
    assert not await queue_exists(broker, "ghost")


async def test_a_paused_type_is_handed_out_all_the_same(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause_type("default", "email:send", True)
    assert len(await take(broker)) == 1


async def test_pausing_and_resuming_wakes_those_who_watch(broker: Store) -> None:
    with broker.watch([signals.types("default")]) as watch:
        for paused in (True, False, True, False):  # a store may wake us once to say that it listens now
            await elsewhere(broker, partial(_pause, paused=paused))
            assert await woken(watch)


async def _pause(store: Store, *, paused: bool) -> None:
    await store.pause_type("default", "a", paused)


async def test_dropping_a_queue_forgets_what_was_paused(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause_type("default", "email:send", True)
    await broker.remove_queue("default", force=True)
    assert await broker.paused_types(["default"]) == {}
