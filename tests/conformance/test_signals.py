"""Rule 5: a watch receives every signal from the moment it is opened, and takes no task."""

from __future__ import annotations

import asyncio

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import ids, in_other_thread, is_notified, put, put_in_state, take


async def test_rule_5_a_watch_remembers_signals_before_the_wait(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await put(broker, entry("a"))
        await asyncio.sleep(0)
        assert await is_notified(watch)


async def test_rule_5_a_signal_ends_a_wait(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        waiting = asyncio.create_task(is_notified(watch))
        await asyncio.sleep(0)
        await put(broker, entry("a"))
        assert await waiting


async def test_rule_5_every_watch_receives_every_signal(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as one, broker.watch([signals.pending("default")]) as two:
        for id in "abc":
            await put(broker, entry(id))
            assert await is_notified(one)
            assert await is_notified(two)


async def test_rule_5_a_watch_on_several_topics_receives_each(broker: Store, clock: FakeClock) -> None:
    topics = [signals.pending("one"), signals.due("two"), signals.grouped("three")]
    with broker.watch(topics) as watch:
        for one in (
            entry(queue="one"),
            entry(queue="two", at=clock.now() + 9),
            entry(queue="three", group="g"),
        ):
            await put(broker, one)
            assert await is_notified(watch)


async def test_rule_5_waiting_takes_no_task(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await put(broker, entry("a"))
        await is_notified(watch)
        await watch.wait(0)
        assert await ids(broker, TaskState.PENDING) == ["a"]
        assert len(await take(broker)) == 1


async def test_rule_5_a_wait_ends_at_its_timeout(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        while await watch.wait(0.001):  # it may return early without a reason, but not endlessly
            pass
        assert await watch.wait(0) in (True, False)


async def test_rule_5_resuming_a_queue_notifies_its_watches(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause("default", True)
    with broker.watch([signals.pending("default")]) as watch:
        await broker.pause("default", False)
        assert await is_notified(watch)
    assert len(await take(broker)) == 1


async def test_rule_5_the_run_action_notifies_watches_of_pending_tasks(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 1000), entry("b", at=clock.now() + 1000))
    with broker.watch([signals.pending("default")]) as watch:
        await broker.move(Action.RUN, [TaskRef("default", "a")])
        assert await is_notified(watch)
        await broker.move_all(Action.RUN, Where("default", TaskState.SCHEDULED))
        assert await is_notified(watch)


async def test_rule_5_archive_and_delete_notify_watches_of_the_end(broker: Store) -> None:
    await put(broker, *map(entry, "abc"))
    refs = [TaskRef("default", id) for id in "abc"]
    with (
        broker.watch([signals.ended(refs[0])]) as archived,
        broker.watch([signals.ended(refs[1])]) as deleted,
        broker.watch([signals.ended(refs[2])]) as removed,
    ):
        await broker.move(Action.ARCHIVE, refs[:1])
        assert await is_notified(archived)
        await broker.move(Action.DELETE, refs[1:2])
        assert await is_notified(deleted)
        await broker.remove_queue("default", force=True)
        assert await is_notified(removed)


async def test_rule_5_sweep_notifies_watches_of_the_end(broker: Store, clock: FakeClock) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    clock.advance(60)
    with broker.watch([signals.ended(TaskRef("default", "a"))]) as watch:
        await broker.sweep(["default"], 9)
        assert await is_notified(watch)


async def test_rule_5_a_signal_reaches_other_threads(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        await in_other_thread(broker, lambda clone: put(clone, entry("a")))
        assert await is_notified(watch)
    assert await ids(broker, TaskState.PENDING) == ["a"]


async def test_rule_5_a_cancelled_wait_loses_no_signal(broker: Store) -> None:
    with broker.watch([signals.pending("default")]) as watch:
        waiting = asyncio.create_task(watch.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await put(broker, entry("a"))
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert await is_notified(watch)
