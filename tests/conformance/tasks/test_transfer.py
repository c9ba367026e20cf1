"""`transfer`: a task is moved to another queue unchanged, and exactly once."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Output
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from asynqio.testing import FakeClock
from tests.builders import archived, entry, failed, settlement
from tests.conformance.helpers import (
    entry_for,
    find_task,
    get_task,
    ids,
    is_locked,
    put,
    put_in_state,
    queue_exists,
    snapshot,
    state_of,
    take,
)

A = TaskRef("default", "a")


@pytest.mark.parametrize("state", list(TaskState))
async def test_a_waiting_task_can_be_transferred(broker: Store, clock: FakeClock, state: TaskState) -> None:
    # Given a task in some state
    one = entry_for(state, "a", payload=b"1", headers={"trace": "x"}, timeout=7.0)
    await put_in_state(broker, clock, state, one)
    clock.advance(5)
    before, was = await get_task(broker, "a"), await snapshot(broker)
    # When it is transferred
    [answer] = await broker.transfer([A], "other")
    # Then it is in the target unchanged, or stays unchanged
    if state not in TransferTo.origins:
        assert answer is Moved.WRONG_STATE
        assert await snapshot(broker) == was
        assert not await queue_exists(broker, "other")
        return
    assert answer is Moved.DONE
    assert await find_task(broker, "a") is None
    after = await get_task(broker, "a", "other")
    assert after.state is state
    assert after.queue == "other"
    for name in ("payload", "headers", "timeout", "retried", "last_error", "max_retry", "type"):
        assert getattr(after, name) == getattr(before, name), name
    if state in (TaskState.SCHEDULED, TaskState.RETRY):
        assert after.next_process_at == before.next_process_at
    assert [stats.size for stats in await broker.stats(["default", "other"])] == [0, 1]


async def test_a_transferred_task_is_processed_in_its_new_queue(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("x", queue="other"), *map(entry, "abc"))
    refs = [TaskRef("default", id) for id in "ab"]
    assert await broker.transfer(refs, "other") == [Moved.DONE, Moved.DONE]
    assert await ids(broker, TaskState.PENDING, "other") == ["x", "a", "b"]
    assert await ids(broker, TaskState.PENDING) == ["c"]
    held = await take(broker, 10, queues=["other"])
    assert [lease.message.queue for lease in held] == ["other"] * 3
    assert await broker.settle([settlement(lease, now=clock.now()) for lease in held]) == [True] * 3
    assert await ids(broker, TaskState.ACTIVE, "other") == []


async def test_a_transferred_task_keeps_result_and_progress(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    await broker.write_output([Output(held, result=b"r", progress=b"0.5")])
    await broker.settle([failed(held, clock.now())])
    await broker.transfer([A], "other")
    seen = await get_task(broker, "a", "other")
    assert (seen.result, seen.progress, seen.retried) == (b"r", b"0.5", 1)


async def test_a_transferred_group_member_joins_its_group_in_the_new_queue(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 10, group="g"))
    await broker.transfer([A], "other")
    clock.advance(10)
    await broker.forward(["other"], 10)
    assert await state_of(broker, "a", "other") is TaskState.AGGREGATING
    assert [group.group for group in await broker.groups("other")] == ["g"]


async def test_answers_of_transfer_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "abc"), entry("b", queue="other"), entry("d", queue="other"))
    await take(broker)
    refs = [TaskRef("default", id) for id in ("ghost", "a", "b", "c")] + [TaskRef("other", "d")]
    assert await broker.transfer(refs, "other") == [
        Moved.NOT_FOUND,
        Moved.WRONG_STATE,
        Moved.ID_CONFLICT,
        Moved.DONE,
        Moved.WRONG_STATE,
    ]
    assert await broker.transfer([], "other") == []
    assert await broker.transfer([TaskRef("ghost", "a")], "fresh") == [Moved.NOT_FOUND]
    assert not await queue_exists(broker, "fresh")


async def test_a_refused_transfer_changes_nothing(broker: Store, clock: FakeClock) -> None:
    # Given pending tasks, two of which conflict with tasks of the target
    held = entry("b", payload=b"1", unique=600)
    await put(broker, entry("a"), held, entry("c"))
    await put(broker, entry("a", queue="other"), entry("x", queue="other", payload=b"1", unique=600))
    before = await snapshot(broker)
    # When they are transferred
    refs = [A, TaskRef("default", "b")]
    assert await broker.transfer(refs, "other") == [Moved.ID_CONFLICT, Moved.DUPLICATE]
    # Then these stay unchanged, also in their order, and both locks keep their holders
    assert await snapshot(broker) == before
    assert await is_locked(broker, held)


async def test_a_lock_is_transferred_with_its_remaining_time(broker: Store, clock: FakeClock) -> None:
    here, there = entry(payload=b"1", unique=60), entry(queue="other", payload=b"1", unique=60)
    await put(broker, entry("a", payload=b"1", unique=60))
    clock.advance(10)
    assert await broker.transfer([A], "other") == [Moved.DONE]
    assert (await get_task(broker, "a", "other")).unique_key == unique_key("other", "email:send", b"1")
    assert not await is_locked(broker, here)
    assert await is_locked(broker, there)
    clock.advance(49)
    assert await is_locked(broker, there)
    await broker.move(Action.DELETE, [TaskRef("other", "a")])
    assert not await is_locked(broker, there)


async def test_an_expired_lock_refuses_no_transfer(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", payload=b"1", unique=10))
    clock.advance(10)
    there = entry("x", queue="other", payload=b"1", unique=600)
    await put(broker, there)
    assert await broker.transfer([A], "other") == [Moved.DONE]
    await broker.move(Action.DELETE, [TaskRef("other", "a")])
    assert await is_locked(broker, there), "it belongs to the other task"


async def test_a_task_can_be_transferred_back(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", payload=b"1", unique=600))
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])
    before = await get_task(broker, "a")
    assert await broker.transfer([A], "other") == [Moved.DONE]
    assert await broker.transfer([TaskRef("other", "a")], "default") == [Moved.DONE]
    assert await get_task(broker, "a") == before


async def test_many_transferred_tasks_keep_their_order(broker: Store) -> None:
    names = [f"{number:04}" for number in range(450)]
    await put(broker, *map(entry, names))
    answers = await broker.transfer([TaskRef("default", name) for name in names], "other {x}")
    assert answers == [Moved.DONE] * 450
    assert await ids(broker, TaskState.PENDING, "other {x}") == names
