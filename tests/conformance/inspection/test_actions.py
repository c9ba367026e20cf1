"""Operator actions: only the transitions that `MOVES` allows; payloads of waiting tasks."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from asynqio.testing import FakeClock
from tests.builders import entry, settlement
from tests.conformance.helpers import (
    entry_for,
    get_task,
    ids,
    is_locked,
    put,
    put_in_state,
    snapshot,
    state_of,
    take,
)

A = TaskRef("default", "a")


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", list(TaskState))
async def test_an_action_is_allowed_where_the_table_of_moves_says(
    broker: Store, clock: FakeClock, state: TaskState, action: Action
) -> None:
    # Given a task in a state
    await put_in_state(broker, clock, state, entry_for(state, "a", payload=b"1"))
    before = await snapshot(broker)
    # When an operator runs, archives or deletes it
    [answer] = await broker.move(action, [A])
    # Then the action succeeds, or nothing changes
    if state in action.origins:
        assert answer is Moved.DONE
        assert await state_of(broker, "a") is action.target
        [stats] = await broker.stats(["default"])
        assert stats.size == (0 if action is Action.DELETE else 1)
    else:
        assert answer is Moved.WRONG_STATE
        assert await snapshot(broker) == before


async def test_rule_2_answers_of_move_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    refs = [TaskRef("default", "ghost"), TaskRef("default", "b"), A, TaskRef("ghost", "a")]
    answers = await broker.move(Action.ARCHIVE, refs)
    assert answers == [Moved.NOT_FOUND, Moved.DONE, Moved.WRONG_STATE, Moved.NOT_FOUND]
    assert await broker.move(Action.RUN, []) == []
    assert await broker.queues() == ["default"]


async def test_a_task_run_by_an_operator_joins_the_end_of_the_queue(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 1000), entry("b"))
    clock.advance(5)
    await broker.move(Action.RUN, [A])
    assert await ids(broker, TaskState.PENDING) == ["b", "a"]
    assert (await get_task(broker, "a")).pending_since == clock.now()


async def test_an_action_counts_no_attempt(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await broker.move(Action.ARCHIVE, [A])
    seen = await get_task(broker, "a")
    assert (seen.retried, seen.last_error) == (0, "")
    [stats] = await broker.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.ACTIVE])
async def test_deleting_a_task_frees_its_lock(broker: Store, clock: FakeClock, state: TaskState) -> None:
    one = entry_for(state, "a", unique=6000)
    await put_in_state(broker, clock, state, one)
    assert await broker.move(Action.DELETE, [A]) == [Moved.DONE]
    assert not await is_locked(broker, one)


async def test_deleting_all_tasks_frees_their_locks(broker: Store, clock: FakeClock) -> None:
    batch = [entry(payload=bytes([n]), unique=600) for n in range(3)]
    await put(broker, *batch)
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING)) == 3
    assert [await is_locked(broker, like) for like in batch] == [False] * 3


async def test_deleting_a_task_does_not_free_a_lock_taken_by_another(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", unique=10))
    clock.advance(10)
    other = entry("b", unique=600)
    await put(broker, other)
    await broker.move(Action.DELETE, [A])
    assert await is_locked(broker, other)


@pytest.mark.parametrize("action", [Action.RUN, Action.ARCHIVE])
async def test_running_or_archiving_a_task_keeps_its_lock(
    broker: Store, clock: FakeClock, action: Action
) -> None:
    one = entry("a", at=clock.now() + 5, unique=600)
    await put(broker, one)
    await broker.move(action, [A])
    assert await is_locked(broker, one)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", list(TaskState))
async def test_move_all_moves_a_whole_state_and_returns_the_count(
    broker: Store, clock: FakeClock, state: TaskState, action: Action
) -> None:
    # Given three tasks of a state, and one of another
    other = TaskState.SCHEDULED if state is not TaskState.SCHEDULED else TaskState.RETRY
    await put_in_state(broker, clock, other, entry_for(other, "other"))
    for id in "abc":
        if state is TaskState.PENDING:
            await put(broker, entry(id))
        else:
            await put_in_state(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    # When all are moved
    moved = await broker.move_all(action, Where("default", state))
    # Then all move, or none, and the other task stays
    allowed = state in action.origins
    assert moved == (3 if allowed else 0)
    states = {await state_of(broker, id) for id in "abc"}
    assert states == ({action.target} if allowed else {state})
    assert await state_of(broker, "other") is other


async def test_move_all_can_be_limited_to_one_group(broker: Store) -> None:
    await put(broker, entry("a", group="g1"), entry("b", group="g2"), entry("c", group="g1"))
    assert await broker.move_all(Action.RUN, Where("default", TaskState.AGGREGATING, "g1")) == 2
    assert sorted(await ids(broker, TaskState.PENDING)) == ["a", "c"]
    assert await ids(broker, TaskState.AGGREGATING) == ["b"]
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.AGGREGATING)) == 1


REWRITABLE = {TaskState.SCHEDULED, TaskState.RETRY, TaskState.PENDING, TaskState.ARCHIVED}


@pytest.mark.parametrize("state", list(TaskState))
async def test_the_payload_of_a_waiting_task_can_be_rewritten(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, entry_for(state, "a", payload=b"old"))
    before = await snapshot(broker)
    answer = await broker.rewrite({A: b"new"})
    if state in REWRITABLE:
        assert answer == [Moved.DONE]
        seen = await get_task(broker, "a")
        assert (seen.payload, seen.state) == (b"new", state)
    else:
        assert answer == [Moved.WRONG_STATE]
        assert await snapshot(broker) == before


async def test_rule_2_answers_of_rewrite_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    payloads = {TaskRef("default", "ghost"): b"x", TaskRef("default", "b"): b"y", A: b"z"}
    assert await broker.rewrite(payloads) == [Moved.NOT_FOUND, Moved.DONE, Moved.WRONG_STATE]
    assert await broker.rewrite({TaskRef("ghost", "a"): b"x"}) == [Moved.NOT_FOUND]
    assert await broker.queues() == ["default"]


async def test_a_rewritten_task_keeps_its_position(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await broker.rewrite({A: b""})
    [lease, _] = await take(broker, 2)
    assert (lease.message.id, lease.message.payload) == ("a", b"")


async def test_rewriting_computes_the_lock_again(broker: Store, clock: FakeClock) -> None:
    # Given a task that holds a lock for its payload
    old, new = entry("a", payload=b"old", unique=60), entry("b", payload=b"new", unique=60)
    await put(broker, old)
    clock.advance(10)
    # When its payload is rewritten
    await broker.rewrite({A: b"new"})
    # Then the lock is that of the new payload, for the remaining time, and is freed with the task
    assert (await get_task(broker, "a")).unique_key == unique_key("default", "email:send", b"new")
    assert await is_locked(broker, new)
    assert not await is_locked(broker, old)
    clock.advance(49)
    assert await is_locked(broker, new)
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=clock.now())])
    assert not await is_locked(broker, new)


async def test_rewriting_takes_no_lock_from_another_task(broker: Store) -> None:
    one, two = entry("a", payload=b"1", unique=60), entry("b", payload=b"2", unique=600)
    await put(broker, one, two)
    assert await broker.rewrite({A: b"2"}) == [Moved.DONE]
    await broker.move(Action.DELETE, [A])
    assert await is_locked(broker, two)


async def test_rewriting_a_task_without_lock_takes_none(broker: Store) -> None:
    await put(broker, entry("a", payload=b"1"))
    await broker.rewrite({A: b"2"})
    assert (await get_task(broker, "a")).unique_key == ""
    assert not await is_locked(broker, entry(payload=b"2", unique=60))
