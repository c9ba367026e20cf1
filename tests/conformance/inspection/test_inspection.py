"""Inspection: what is shown is what is there; operators move tasks only as `MOVES` allows."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import LockHolder, unique_key
from asynqio.errors import QueueNotFound, WrongState
from asynqio.testing import FakeClock
from tests.builders import aborted, archived, entry, failed, settlement
from tests.conformance.looks import (
    EVERYTHING,
    bring,
    entry_for,
    ids,
    locked,
    look,
    picture,
    put,
    queue_exists,
    see,
    state_of,
    take,
)

A = TaskRef("default", "a")


async def test_queues_are_listed_by_name(broker: Store) -> None:
    await put(broker, *(entry(queue=queue) for queue in ("b", "a", "B", "ä", "a b")))
    assert await broker.queues() == sorted(["b", "a", "B", "ä", "a b"])


async def test_a_queue_stays_when_its_last_task_is_gone(broker: Store, clock: FakeClock) -> None:
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
                await bring(broker, clock, state, entry_for(state, f"{state.value}-{count}"))
    await put(broker, entry("pending"))
    clock.advance(7)
    # When one looks
    [stats] = await broker.stats(["default"])
    # Then the figures say so
    assert [getattr(stats, state.value) for state in TaskState] == [1, 2, 3, 4, 5, 6, 7]
    assert (stats.size, stats.groups, stats.latency, stats.paused) == (28, 1, 7.0, False)
    assert (stats.processed, stats.failed, stats.processed_total, stats.failed_total) == (15, 9, 15, 9)


async def test_stats_are_aligned_with_the_queues(broker: Store) -> None:
    await put(broker, entry(queue="one"), entry(queue="two"), entry(queue="two"))
    await broker.pause("two", True)
    stats = await broker.stats(["two", "one"])
    assert [(s.queue, s.pending, s.paused) for s in stats] == [("two", 2, True), ("one", 1, False)]
    assert await broker.stats([]) == []


async def test_latency_is_the_wait_of_the_oldest_pending_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    clock.advance(10)
    await put(broker, entry("b"))
    clock.advance(5)
    assert (await broker.stats(["default"]))[0].latency == 15
    await take(broker)
    assert (await broker.stats(["default"]))[0].latency == 5
    await take(broker)
    assert (await broker.stats(["default"]))[0].latency == 0


async def test_a_queue_that_does_not_exist_is_an_error_that_names_it(broker: Store) -> None:
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


async def test_find_is_aligned_and_says_none_for_what_is_not_there(broker: Store) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    refs = [TaskRef("other", "b"), TaskRef("default", "b"), A, TaskRef("ghost", "a")]
    found = await broker.find(refs)
    assert [info and info.ref for info in found] == [refs[0], None, refs[2], None]
    assert await broker.find([]) == []


async def test_what_is_shown_of_a_task_depends_on_its_state(broker: Store, clock: FakeClock) -> None:
    start = clock.now()
    await put(broker, entry("later", at=start + 50), entry("member", group="g"), entry("a"))
    clock.advance(5)
    shown = {
        id: (info.next_process_at, info.pending_since, info.is_orphaned)
        for id in ("later", "member", "a")
        for info in [await see(broker, id)]
    }
    assert shown == {
        "later": (start + 50, 0.0, False),
        "member": (0.0, 0.0, False),
        "a": (clock.now(), start, False),
    }


@pytest.mark.parametrize("state", [TaskState.ARCHIVED, TaskState.COMPLETED])
async def test_completed_and_archived_tasks_are_shown_latest_first(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    for id in "zam":
        await bring(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    assert await ids(broker, state) == ["m", "a", "z"]


async def test_scheduled_and_retry_tasks_are_shown_earliest_first(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"s{delay}", at=clock.now() + delay) for delay in (30, 10, 20)))
    assert await ids(broker, TaskState.SCHEDULED) == ["s10", "s20", "s30"]
    for id in "zam":
        await bring(broker, clock, TaskState.RETRY, entry(id))
        clock.advance(1)
    assert await ids(broker, TaskState.RETRY) == ["z", "a", "m"]


async def test_aggregating_tasks_are_shown_oldest_first(broker: Store, clock: FakeClock) -> None:
    for id, group in ("z", "g1"), ("a", "g2"), ("m", "g1"):
        await put(broker, entry(id, group=group))
        clock.advance(1)
    assert await ids(broker, TaskState.AGGREGATING) == ["z", "a", "m"]
    assert await ids(broker, TaskState.AGGREGATING, group="g1") == ["z", "m"]
    assert await ids(broker, TaskState.AGGREGATING, group="ghost") == []


@pytest.mark.parametrize("state", list(TaskState))
async def test_a_page_is_a_window_on_the_whole_list(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    for id in "abcde":
        if state is TaskState.PENDING:
            await put(broker, entry(id))
        else:
            await bring(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    whole = await ids(broker, state)
    where = Where("default", state)
    pages = [await broker.tasks(where, Page(2, offset)) for offset in (0, 2, 4, 6)]
    assert [[info.id for info in page] for page in pages] == [whole[:2], whole[2:4], whole[4:], []]


def test_a_page_of_nothing_or_before_the_start_is_refused() -> None:
    for size, offset in ((0, 0), (-1, 0), (1, -1)):
        with pytest.raises(ValueError, match="at least"):
            Page(size, offset)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", list(TaskState))
async def test_an_operator_may_do_what_the_table_of_moves_says(
    broker: Store, clock: FakeClock, state: TaskState, action: Action
) -> None:
    # Given a task in a state
    await bring(broker, clock, state, entry_for(state, "a", payload=b"1"))
    before = await picture(broker)
    # When somebody wants to run, archive or delete it
    [answer] = await broker.move(action, [A])
    # Then that happens, or nothing does
    if state in action.origins:
        assert answer is Moved.DONE
        assert await state_of(broker, "a") is action.target
        [stats] = await broker.stats(["default"])
        assert stats.size == (0 if action is Action.DELETE else 1)
    else:
        assert answer is Moved.WRONG_STATE
        assert await picture(broker) == before


async def test_rule_2_answers_of_move_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    refs = [TaskRef("default", "ghost"), TaskRef("default", "b"), A, TaskRef("ghost", "a")]
    answers = await broker.move(Action.ARCHIVE, refs)
    assert answers == [Moved.NOT_FOUND, Moved.DONE, Moved.WRONG_STATE, Moved.NOT_FOUND]
    assert await broker.move(Action.RUN, []) == []
    assert await broker.queues() == ["default"]


async def test_a_task_that_is_run_by_hand_queues_up_at_the_end(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 1000), entry("b"))
    clock.advance(5)
    await broker.move(Action.RUN, [A])
    assert await ids(broker, TaskState.PENDING) == ["b", "a"]
    assert (await see(broker, "a")).pending_since == clock.now()


async def test_moving_a_task_counts_no_attempt(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await broker.move(Action.ARCHIVE, [A])
    seen = await see(broker, "a")
    assert (seen.retried, seen.last_error) == (0, "")
    [stats] = await broker.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.ACTIVE])
async def test_deleting_a_task_frees_its_lock(broker: Store, clock: FakeClock, state: TaskState) -> None:
    one = entry_for(state, "a", unique=6000)
    await bring(broker, clock, state, one)
    assert await broker.move(Action.DELETE, [A]) == [Moved.DONE]
    assert not await locked(broker, one)


async def test_deleting_all_frees_the_locks(broker: Store, clock: FakeClock) -> None:
    batch = [entry(payload=bytes([n]), unique=600) for n in range(3)]
    await put(broker, *batch)
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING)) == 3
    assert [await locked(broker, like) for like in batch] == [False] * 3


async def test_deleting_a_task_leaves_a_lock_that_passed_to_another(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", unique=10))
    clock.advance(10)
    other = entry("b", unique=600)
    await put(broker, other)
    await broker.move(Action.DELETE, [A])
    assert await locked(broker, other)


@pytest.mark.parametrize("action", [Action.RUN, Action.ARCHIVE])
async def test_running_or_archiving_a_task_keeps_its_lock(
    broker: Store, clock: FakeClock, action: Action
) -> None:
    one = entry("a", at=clock.now() + 5, unique=600)
    await put(broker, one)
    await broker.move(action, [A])
    assert await locked(broker, one)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("state", list(TaskState))
async def test_move_all_moves_a_whole_state_and_says_how_many(
    broker: Store, clock: FakeClock, state: TaskState, action: Action
) -> None:
    # Given three tasks of a state, and one of another
    other = TaskState.SCHEDULED if state is not TaskState.SCHEDULED else TaskState.RETRY
    await bring(broker, clock, other, entry_for(other, "other"))
    for id in "abc":
        if state is TaskState.PENDING:
            await put(broker, entry(id))
        else:
            await bring(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    # When all are moved
    moved = await broker.move_all(action, Where("default", state))
    # Then all are, or none, and the other one stays
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
async def test_a_payload_may_be_rewritten_while_the_task_waits(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await bring(broker, clock, state, entry_for(state, "a", payload=b"old"))
    before = await picture(broker)
    answer = await broker.rewrite({A: b"new"})
    if state in REWRITABLE:
        assert answer == [Moved.DONE]
        seen = await see(broker, "a")
        assert (seen.payload, seen.state) == (b"new", state)
    else:
        assert answer == [Moved.WRONG_STATE]
        assert await picture(broker) == before


async def test_rule_2_answers_of_rewrite_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    payloads = {TaskRef("default", "ghost"): b"x", TaskRef("default", "b"): b"y", A: b"z"}
    assert await broker.rewrite(payloads) == [Moved.NOT_FOUND, Moved.DONE, Moved.WRONG_STATE]
    assert await broker.rewrite({TaskRef("ghost", "a"): b"x"}) == [Moved.NOT_FOUND]
    assert await broker.queues() == ["default"]


async def test_a_rewritten_payload_is_what_the_worker_gets_in_its_old_place(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    await broker.rewrite({A: b""})
    [lease, _] = await take(broker, 2)
    assert (lease.message.id, lease.message.payload) == ("a", b"")


async def test_the_lock_of_a_rewritten_task_moves_along(broker: Store, clock: FakeClock) -> None:
    # Given a task that holds a lock for its payload
    old, new = entry("a", payload=b"old", unique=60), entry("b", payload=b"new", unique=60)
    await put(broker, old)
    clock.advance(10)
    # When its payload is rewritten
    await broker.rewrite({A: b"new"})
    # Then the lock is that of the new payload, for the time that was left, and goes with the task
    assert (await see(broker, "a")).unique_key == unique_key("default", "email:send", b"new")
    assert await locked(broker, new)
    assert not await locked(broker, old)
    clock.advance(49)
    assert await locked(broker, new)
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=clock.now())])
    assert not await locked(broker, new)


async def test_rewriting_takes_no_lock_away_from_another_task(broker: Store) -> None:
    one, two = entry("a", payload=b"1", unique=60), entry("b", payload=b"2", unique=600)
    await put(broker, one, two)
    assert await broker.rewrite({A: b"2"}) == [Moved.DONE]
    await broker.move(Action.DELETE, [A])
    assert await locked(broker, two)


async def test_a_task_without_lock_gets_none_by_rewriting(broker: Store) -> None:
    await put(broker, entry("a", payload=b"1"))
    await broker.rewrite({A: b"2"})
    assert (await see(broker, "a")).unique_key == ""
    assert not await locked(broker, entry(payload=b"2", unique=60))


async def test_pausing_says_whether_it_changed_something(broker: Store) -> None:
    await put(broker, entry("a"))
    answers = [await broker.pause("default", paused) for paused in (False, True, True, False, False)]
    assert answers == [False, True, False, True, False]


async def test_a_queue_may_be_paused_before_its_first_task(broker: Store) -> None:
    assert await broker.pause("default", True)
    assert await queue_exists(broker, "default")
    await put(broker, entry("a"))
    assert await take(broker) == []
    assert (await broker.stats(["default"]))[0].paused


async def test_a_paused_queue_lets_running_tasks_end(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.pause("default", True)
    assert await broker.renew([lease], 30) == [True]
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]


async def test_an_empty_queue_can_be_dropped(broker: Store) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    await broker.move(Action.DELETE, [A])
    await broker.remove_queue("default")
    assert await broker.queues() == ["other"]


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.ACTIVE])
async def test_a_queue_with_tasks_is_dropped_only_by_force(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    one = entry_for(state, "a", unique=6000)
    await bring(broker, clock, state, one)
    before = await picture(broker)
    with pytest.raises(WrongState, match="force"):
        await broker.remove_queue("default")
    assert await picture(broker) == before
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []
    assert await look(broker, "a") is None


@pytest.mark.parametrize("force", [False, True])
async def test_a_queue_with_active_tasks_is_never_dropped(broker: Store, force: bool) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker)
    before = await picture(broker)
    with pytest.raises(WrongState, match="active"):
        await broker.remove_queue("default", force=force)
    assert await picture(broker) == before


async def test_a_dropped_queue_starts_anew(broker: Store, clock: FakeClock) -> None:
    # Given a queue with a history, a lock and a pause
    one = entry("a", unique=6000)
    await bring(broker, clock, TaskState.ARCHIVED, one)
    await broker.pause("default", True)
    # When it is dropped and used again
    await broker.remove_queue("default", force=True)
    await put(broker, one)
    # Then nothing of it is left
    [stats] = await broker.stats(["default"])
    assert (stats.size, stats.pending, stats.paused) == (1, 1, False)
    assert (stats.processed, stats.processed_total, stats.failed_total) == (0, 0, 0)
    assert [day.processed for day in await broker.history("default", 2)] == [0, 0]


async def test_history_is_today_first_with_nothing_left_out(broker: Store, clock: FakeClock) -> None:
    for id in "ab":
        await put(broker, entry(id))
        [lease] = await take(broker)
        await broker.settle([failed(lease, clock.now())])
        clock.advance(2 * 86_400)
    days = await broker.history("default", 6)
    assert [day.day for day in days][:2] == ["2023-11-18", "2023-11-17"]
    assert [(day.processed, day.failed) for day in days] == [(0, 0), (0, 0), (1, 1), (0, 0), (1, 1), (0, 0)]


async def test_a_task_run_again_from_the_archive_keeps_its_past(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.settle([archived(lease, clock.now())])
    before = await see(broker, "a")
    await broker.move(Action.RUN, [A])
    [again] = await take(broker)
    assert (again.message.last_error, again.message.retried) == (before.last_error, before.retried)
    assert await broker.settle([aborted(again, clock.now())]) == [True]


async def test_a_footprint_grows_with_what_is_stored(broker: Store, clock: FakeClock) -> None:
    # Given a queue with nothing, one with a few tasks, and one with more and larger ones in several states
    await broker.pause("empty", True)
    await put(broker, *(entry(queue="few") for _ in range(3)))
    for fields in ({}, {"at": clock.now() + 60}, {"group": "g"}):
        await put(broker, *(entry(queue="many", payload=b"x" * 2_000, **fields) for _ in range(50)))
    # Then the guess is of the right size
    empty, few, many = await broker.memory_usage(["empty", "few", "many"])
    assert empty < 200
    assert 300 < few < 10_000
    assert 150 * 2_000 < many < 150 * 8_000
    with pytest.raises(QueueNotFound):
        await broker.memory_usage(["ghost"])


async def test_it_is_told_who_holds_a_lock_and_until_when(broker: Store, clock: FakeClock) -> None:
    one = entry("a", unique=60.0)
    key = one.message.unique_key
    assert await broker.lock_holder("default", key) is None
    await put(broker, one)
    assert await broker.lock_holder("default", key) == LockHolder("a", clock.now() + 60)
    assert (
        await broker.lock_holder("default", entry("b", payload=b"2", unique=60.0).message.unique_key) is None
    )
    clock.advance(60)
    assert await broker.lock_holder("default", key) is None
    await put(broker, entry("b", unique=30.0))
    assert await broker.lock_holder("default", key) == LockHolder("b", clock.now() + 30)
    throttle = entry("c", payload=b"3", unique=20.5, until="expired")
    await put(broker, throttle)
    assert await broker.lock_holder("default", throttle.lock) == LockHolder("c", clock.now() + 20.5)
    await broker.move(Action.DELETE, [TaskRef("default", "b")])
    assert await broker.lock_holder("default", key) is None
