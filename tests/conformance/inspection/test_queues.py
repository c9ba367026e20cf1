"""Queues: names, stats, history, memory usage, pause and removal."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound, WrongState
from asynqio.testing import FakeClock
from tests.builders import aborted, archived, entry, failed, settlement
from tests.conformance.helpers import (
    EVERYTHING,
    entry_for,
    find_task,
    get_task,
    put,
    put_in_state,
    queue_exists,
    snapshot,
    take,
)

A = TaskRef("default", "a")


async def test_queues_are_listed_by_name(broker: Store) -> None:
    await put(broker, *(entry(queue=queue) for queue in ("b", "a", "B", "ä", "a b")))
    assert await broker.queues() == sorted(["b", "a", "B", "ä", "a b"])


async def test_a_queue_stays_when_its_last_task_is_deleted(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await broker.move(Action.DELETE, [A])
    assert await broker.queues() == ["default"]
    [stats] = await broker.stats(["default"])
    assert stats.size == 0


async def test_stats_count_every_state(broker: Store, clock: FakeClock) -> None:
    # Given one task more in each state than in the one before
    for number, state in enumerate(TaskState, start=1):
        for count in range(number):
            if state is not TaskState.PENDING:
                await put_in_state(broker, clock, state, entry_for(state, f"{state.value}-{count}"))
    await put(broker, entry("pending"))
    clock.advance(7)
    # When the stats are read
    [stats] = await broker.stats(["default"])
    # Then they count each state
    assert [getattr(stats, state.value) for state in TaskState] == [1, 2, 3, 4, 5, 6, 7]
    assert (stats.size, stats.groups, stats.latency, stats.paused) == (28, 1, 7.0, False)
    assert (stats.processed, stats.failed, stats.processed_total, stats.failed_total) == (15, 9, 15, 9)


async def test_stats_are_aligned_with_the_queues(broker: Store) -> None:
    await put(broker, entry(queue="one"), entry(queue="two"), entry(queue="two"))
    await broker.pause("two", True)
    stats = await broker.stats(["two", "one"])
    assert [(s.queue, s.pending, s.paused) for s in stats] == [("two", 2, True), ("one", 1, False)]
    assert await broker.stats([]) == []


async def test_latency_is_the_age_of_the_longest_waiting_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    clock.advance(10)
    await put(broker, entry("b"))
    clock.advance(5)
    assert (await broker.stats(["default"]))[0].latency == 15
    await take(broker)
    assert (await broker.stats(["default"]))[0].latency == 5
    await take(broker)
    assert (await broker.stats(["default"]))[0].latency == 0


async def test_an_unknown_queue_is_an_error_that_names_it(broker: Store) -> None:
    where = Where("ghost", TaskState.PENDING)
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.stats(["ghost"])
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.history("ghost", 1)
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.tasks(where, EVERYTHING)
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.remove_queue("ghost")
    assert await broker.queues() == []


async def test_history_is_today_first_without_gaps(broker: Store, clock: FakeClock) -> None:
    for id in "ab":
        await put(broker, entry(id))
        [lease] = await take(broker)
        await broker.settle([failed(lease, clock.now())])
        clock.advance(2 * 86_400)
    days = await broker.history("default", 6)
    assert [day.day for day in days][:2] == ["2023-11-18", "2023-11-17"]
    assert [(day.processed, day.failed) for day in days] == [(0, 0), (0, 0), (1, 1), (0, 0), (1, 1), (0, 0)]


async def test_a_task_run_from_the_archive_keeps_its_error_and_retries(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.settle([archived(lease, clock.now())])
    before = await get_task(broker, "a")
    await broker.move(Action.RUN, [A])
    [again] = await take(broker)
    assert (again.message.last_error, again.message.retried) == (before.last_error, before.retried)
    assert await broker.settle([aborted(again, clock.now())]) == [True]


async def test_memory_usage_grows_with_the_stored_tasks(broker: Store, clock: FakeClock) -> None:
    # Given an empty queue, one with a few tasks, and one with more and larger tasks in several states
    await broker.pause("empty", True)
    await put(broker, *(entry(queue="few") for _ in range(3)))
    for fields in ({}, {"at": clock.now() + 60}, {"group": "g"}):
        await put(broker, *(entry(queue="many", payload=b"x" * 2_000, **fields) for _ in range(50)))
    # Then the estimate has the right magnitude
    empty, few, many = await broker.memory_usage(["empty", "few", "many"])
    assert empty < 200
    assert 300 < few < 10_000
    assert 150 * 2_000 < many < 150 * 8_000
    with pytest.raises(QueueNotFound):
        await broker.memory_usage(["ghost"])


async def test_pause_says_whether_it_changed_something(broker: Store) -> None:
    await put(broker, entry("a"))
    answers = [await broker.pause("default", paused) for paused in (False, True, True, False, False)]
    assert answers == [False, True, False, True, False]


async def test_a_queue_can_be_paused_before_its_first_task(broker: Store) -> None:
    assert await broker.pause("default", True)
    assert await queue_exists(broker, "default")
    await put(broker, entry("a"))
    assert await take(broker) == []
    assert (await broker.stats(["default"]))[0].paused


async def test_running_tasks_of_a_paused_queue_can_be_settled(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.pause("default", True)
    assert await broker.renew([lease], 30) == [True]
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]


async def test_an_empty_queue_can_be_removed(broker: Store) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    await broker.move(Action.DELETE, [A])
    await broker.remove_queue("default")
    assert await broker.queues() == ["other"]


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.ACTIVE])
async def test_a_queue_with_tasks_is_removed_only_with_force(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    one = entry_for(state, "a", unique=6000)
    await put_in_state(broker, clock, state, one)
    before = await snapshot(broker)
    with pytest.raises(WrongState, match="force"):
        await broker.remove_queue("default")
    assert await snapshot(broker) == before
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []
    assert await find_task(broker, "a") is None


@pytest.mark.parametrize("force", [False, True])
async def test_a_queue_with_active_tasks_cannot_be_removed(broker: Store, force: bool) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    before = await snapshot(broker)
    with pytest.raises(WrongState, match="active"):
        await broker.remove_queue("default", force=force)
    assert await snapshot(broker) == before


async def test_a_removed_queue_can_be_created_again(broker: Store, clock: FakeClock) -> None:
    # Given a queue with a history, a lock and a pause
    one = entry("a", unique=6000)
    await put_in_state(broker, clock, TaskState.ARCHIVED, one)
    await broker.pause("default", True)
    # When it is removed and used again
    await broker.remove_queue("default", force=True)
    await put(broker, one)
    # Then none of them is left
    [stats] = await broker.stats(["default"])
    assert (stats.size, stats.pending, stats.paused) == (1, 1, False)
    assert (stats.processed, stats.processed_total, stats.failed_total) == (0, 0, 0)
    assert [day.processed for day in await broker.history("default", 2)] == [0, 0]
