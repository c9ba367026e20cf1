"""Rules 10 and 15: `sweep` deletes expired tasks; the archive keeps the newest."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT
from asynqio.core.groups import BATCH_LEASE, GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import archived, entry, settlement
from tests.conformance.helpers import (
    entry_for,
    find_task,
    ids,
    is_locked,
    is_notified,
    put,
    put_in_state,
    snapshot,
    state_of,
    take,
)

NOW = GroupRule(grace=0.0)


async def test_rule_10_a_completed_task_is_deleted_after_its_retention(
    broker: Store, clock: FakeClock
) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    clock.advance(59)
    assert await broker.sweep(["default"], 10) == (0, clock.now() + 1)
    assert await state_of(broker, "a") is TaskState.COMPLETED
    clock.advance(1)
    deleted, _ = await broker.sweep(["default"], 10)
    assert deleted == 1
    assert await find_task(broker, "a") is None


async def test_rule_10_the_id_of_a_swept_task_is_free(broker: Store, clock: FakeClock) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    clock.advance(60)
    await broker.sweep(["default"], 10)
    await put(broker, entry("a"))
    assert await state_of(broker, "a") is TaskState.PENDING


async def test_rule_10_at_most_limit_tasks_are_deleted(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(id, retention=60.0) for id in "abcde"))
    await broker.settle([settlement(lease, now=clock.now()) for lease in await take(broker, 5)])
    clock.advance(60)
    first = await broker.sweep(["default"], 2)
    assert first == (2, clock.now())
    assert [(await broker.sweep(["default"], 2)).deleted for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.COMPLETED])
async def test_rule_10_a_task_that_is_not_completed_is_never_swept(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, entry_for(state, "a", retention=1.0))
    clock.advance(86_400)
    assert (await broker.sweep(["default"], 10)).deleted == 0
    assert await state_of(broker, "a") is state


async def test_rule_10_only_the_given_queues_are_swept(broker: Store, clock: FakeClock) -> None:
    for queue in ("one", "two"):
        await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", queue=queue, retention=60.0))
    clock.advance(60)
    assert (await broker.sweep(["two", "ghost"], 10)).deleted == 1
    assert [stats.completed for stats in await broker.stats(["one", "two"])] == [1, 0]
    assert await broker.sweep([], 10) == (0, None)


async def test_rule_10_an_expired_batch_returns_to_its_group_with_its_age(
    broker: Store, clock: FakeClock
) -> None:
    # Given a claimed batch, and a member that came later
    await put(broker, entry("a", group="g"))
    clock.advance(1)
    await put(broker, entry("b", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(max_size=2), 9)).batches
    since = clock.now() - 1
    clock.advance(1)
    await put(broker, entry("c", group="g"))
    # When it is not merged in time
    clock.advance(BATCH_LEASE - 2)
    assert await broker.sweep(["default"], 10) == (0, clock.now() + 1)
    assert [group.size for group in await broker.groups("default")] == [1]
    clock.advance(1)
    await broker.sweep(["default"], 10)
    # Then its members are in the group again, oldest first, and the batch is lost
    assert await ids(broker, TaskState.AGGREGATING, group="g") == ["a", "b", "c"]
    [group] = await broker.groups("default")
    assert (group.size, group.oldest_at) == (3, since)
    assert await broker.merge_group(batch, entry("late")) is None
    # and they can be claimed again
    clock.advance(1)  # a failed group waits
    [again] = (await broker.claim_groups(["default"], NOW, 9)).batches
    assert [message.id for message in again.messages] == ["a", "b", "c"]


async def test_rule_10_without_expired_tasks_nothing_changes(broker: Store, clock: FakeClock) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    await put(broker, entry("b"), entry("c", group="g"))
    before = await snapshot(broker)
    await broker.sweep(["default"], 10)
    assert await snapshot(broker) == before


async def test_rule_10_a_lock_taken_by_another_task_is_not_freed(broker: Store, clock: FakeClock) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", unique=6000, retention=60.0))
    other = entry("b", unique=6000)
    await put(broker, other)
    clock.advance(60)
    assert (await broker.sweep(["default"], 10)).deleted == 1
    assert await is_locked(broker, other)


async def test_rule_5_sweep_notifies_watches_of_the_group(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="g"))
    await broker.claim_groups(["default"], NOW, 9)
    clock.advance(BATCH_LEASE)
    with broker.watch([signals.grouped("default")]) as watch:
        await broker.sweep(["default"], 10)
        assert await is_notified(watch)


async def test_rule_15_a_full_archive_keeps_the_newest(broker: Store, clock: FakeClock) -> None:
    # Given an archive with three old tasks, one of them with a lock
    held = entry("old-0", unique=86_400)
    await put(broker, held, entry("old-1"), entry("old-2"))
    for lease in await take(broker, 3):
        clock.advance(1)
        await broker.settle([archived(lease, clock.now())])
    # When two tasks more than the limit are archived
    clock.advance(1)
    await put(broker, *(entry(f"new-{number}") for number in range(ARCHIVE_LIMIT - 1)))
    moved = await broker.move_all(Action.ARCHIVE, Where("default", TaskState.PENDING))
    # Then the two oldest are evicted, and their locks freed
    assert moved == ARCHIVE_LIMIT - 1
    [stats] = await broker.stats(["default"])
    assert stats.archived == ARCHIVE_LIMIT
    assert await find_task(broker, "old-0") is None
    assert await find_task(broker, "old-1") is None
    assert await state_of(broker, "old-2") is TaskState.ARCHIVED
    assert not await is_locked(broker, held)


async def test_rule_15_too_old_tasks_are_evicted(broker: Store, clock: FakeClock) -> None:
    await put_in_state(broker, clock, TaskState.ARCHIVED, entry("old"))
    clock.advance(ARCHIVE_AGE - 1)
    await put_in_state(broker, clock, TaskState.ARCHIVED, entry("young"))
    assert await ids(broker, TaskState.ARCHIVED) == ["young", "old"]
    clock.advance(1)
    await put_in_state(broker, clock, TaskState.ARCHIVED, entry("newest"))
    assert await ids(broker, TaskState.ARCHIVED) == ["newest", "young"]


async def test_rule_15_sweep_evicts_too_old_tasks_and_counts_them(broker: Store, clock: FakeClock) -> None:
    await broker.enqueue([entry("old")])
    [held] = await broker.dequeue(["default"], 1, 30.0, "server")
    await broker.settle([archived(held, clock.now())])
    clock.advance(ARCHIVE_AGE - 1)
    await broker.sweep(["default"], 10)
    assert (await broker.stats(["default"]))[0].archived == 1
    clock.advance(1)
    await broker.sweep(["default"], 10)
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.evicted_total) == (0, 1)
    assert await broker.find([TaskRef("default", "old")]) == [None]
