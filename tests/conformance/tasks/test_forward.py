"""Rule 8: `forward` moves due tasks, earliest first; members of a group (back) to their group."""

from __future__ import annotations

import msgspec
import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import entry, failed
from tests.conformance.helpers import get_task, ids, is_notified, put, snapshot, state_of, take


async def test_rule_8_a_scheduled_task_is_pending_exactly_when_due(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 10))
    clock.advance(9)
    assert await broker.forward(["default"], 10) == (0, clock.now() + 1)
    assert await state_of(broker, "a") is TaskState.SCHEDULED
    clock.advance(1)
    assert await broker.forward(["default"], 10) == (1, None)
    seen = await get_task(broker, "a")
    assert (seen.state, seen.pending_since) == (TaskState.PENDING, clock.now())


async def test_rule_8_a_retry_is_pending_when_it_is_due(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.settle([failed(lease, clock.now())])
    assert await broker.forward(["default"], 10) == (0, clock.now() + 60)
    clock.advance(60)
    assert await broker.forward(["default"], 10) == (1, None)
    seen = await get_task(broker, "a")
    assert (seen.state, seen.retried) == (TaskState.PENDING, 1)


async def test_rule_8_the_earliest_task_is_first_in_either_state(broker: Store, clock: FakeClock) -> None:
    # Given a retry due in 60 s, and scheduled tasks due before and after it, in mixed order
    await put(broker, entry("retry"))
    [lease] = await take(broker)
    await broker.settle([failed(lease, clock.now())])
    delays = {"last": 90, "first": 10, "second": 59, "fourth": 61}
    await put(broker, *(entry(id, at=clock.now() + delay) for id, delay in delays.items()))
    # When all are due
    clock.advance(100)
    assert await broker.forward(["default"], 10) == (5, None)
    # Then they are processed in the order of their due times
    order = ["first", "second", "retry", "fourth", "last"]
    assert await ids(broker, TaskState.PENDING) == order
    assert [lease.message.id for lease in await take(broker, 5)] == order


async def test_rule_8_at_most_limit_tasks_move_earliest_first(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"t{delay}", at=clock.now() + delay) for delay in (4, 2, 1, 3)))
    clock.advance(100)
    assert await broker.forward(["default"], 2) == (2, clock.now() - 100 + 3)
    assert await ids(broker, TaskState.PENDING) == ["t1", "t2"]
    assert await broker.forward(["default"], 2) == (2, None)
    assert await ids(broker, TaskState.PENDING) == ["t1", "t2", "t3", "t4"]


async def test_rule_8_next_at_is_the_earliest_of_the_given_queues(broker: Store, clock: FakeClock) -> None:
    times = {"one": 30, "two": 20, "three": 10}
    await put(broker, *(entry(queue=queue, at=clock.now() + delay) for queue, delay in times.items()))
    assert (await broker.forward(["one", "two"], 10)).next_at == clock.now() + 20
    assert (await broker.forward(["three", "ghost"], 10)).next_at == clock.now() + 10
    assert await broker.forward([], 10) == (0, None)


async def test_rule_8_only_the_given_queues_are_forwarded(broker: Store, clock: FakeClock) -> None:
    await put(
        broker, entry("a", queue="one", at=clock.now() + 1), entry("b", queue="two", at=clock.now() + 1)
    )
    clock.advance(1)
    assert await broker.forward(["two"], 10) == (1, None)
    assert await state_of(broker, "a", "one") is TaskState.SCHEDULED
    assert await state_of(broker, "b", "two") is TaskState.PENDING


async def test_rule_8_a_forwarded_task_joins_the_end_of_the_queue(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("late", at=clock.now() + 1), entry("early"))
    clock.advance(1)
    await broker.forward(["default"], 10)
    assert await ids(broker, TaskState.PENDING) == ["early", "late"]


async def test_rule_8_a_scheduled_task_of_a_group_joins_it_when_it_is_due(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 10, group="news"))
    assert await state_of(broker, "a") is TaskState.SCHEDULED
    clock.advance(10)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await ids(broker, TaskState.AGGREGATING, group="news") == ["a"]
    [group] = await broker.groups("default")
    assert (group.group, group.size, group.oldest_at) == ("news", 1, clock.now())


async def test_rule_8_a_retry_of_a_group_member_returns_to_its_group(broker: Store, clock: FakeClock) -> None:
    # Given a task of a group that an operator ran by itself, and that failed
    one = entry("a", group="news")
    await put(broker, one)
    await broker.move(Action.RUN, [one.message.ref])
    [lease] = await take(broker)
    await broker.settle([failed(lease, clock.now())])
    assert await state_of(broker, "a") is TaskState.RETRY
    # When its retry is due
    clock.advance(60)
    assert (await broker.forward(["default"], 10)).moved == 1
    # Then it is a member again
    assert await ids(broker, TaskState.AGGREGATING, group="news") == ["a"]


async def test_rule_8_a_paused_queue_is_forwarded_too(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 1))
    await broker.pause("default", True)
    clock.advance(1)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await take(broker) == []


async def test_rule_8_without_due_tasks_nothing_changes(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 1), entry("b"), entry("c", group="g"))
    before = await snapshot(broker)
    assert (await broker.forward(["default"], 10)).moved == 0
    assert await snapshot(broker) == before


async def test_rule_5_forward_notifies_watches_of_the_new_states(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 1), entry("b", at=clock.now() + 1, group="g"))
    clock.advance(1)
    with (
        broker.watch([signals.pending("default")]) as pending,
        broker.watch([signals.grouped("default")]) as grouped,
    ):
        await broker.forward(["default"], 10)
        assert await is_notified(pending)
        assert await is_notified(grouped)


async def test_rule_8_a_delay_below_a_second_ends_exactly_when_it_is_due(
    broker: Store, clock: FakeClock
) -> None:
    clock.advance(0.75)
    await put(broker, entry("later", at=clock.now() + 0.5), entry("soon", at=clock.now() + 0.25))
    clock.advance(0.125)
    assert await broker.forward(["default"], 10) == (0, clock.now() + 0.125)
    clock.advance(0.125)
    assert await broker.forward(["default"], 10) == (1, clock.now() + 0.25)
    assert await state_of(broker, "soon") is TaskState.PENDING
    assert await state_of(broker, "later") is TaskState.SCHEDULED
    clock.advance(0.25)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await ids(broker, TaskState.PENDING) == ["soon", "later"]


@pytest.mark.parametrize("delay", [0.0, 0.0009765625, 0.5])
async def test_rule_8_a_retry_below_a_second_ends_exactly_when_it_is_due(
    broker: Store, clock: FakeClock, delay: float
) -> None:
    clock.advance(0.25)
    await put(broker, entry("a"))
    [lease] = await take(broker)
    retry = msgspec.structs.replace(failed(lease, clock.now()), at=clock.now() + delay)
    assert await broker.settle([retry]) == [True]
    if delay:
        assert await broker.forward(["default"], 10) == (0, clock.now() + delay)
        assert await state_of(broker, "a") is TaskState.RETRY
    clock.advance(delay)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await state_of(broker, "a") is TaskState.PENDING


async def test_rule_8_short_delays_move_in_the_order_of_all_due_times(
    broker: Store, clock: FakeClock
) -> None:
    delays = {"third": 0.75, "first": 0.25, "fifth": 1.0, "second": 0.5}
    await put(broker, *(entry(id, at=clock.now() + delay) for id, delay in delays.items()))
    await put(broker, entry("retry"))
    [lease] = await take(broker)
    retry = msgspec.structs.replace(failed(lease, clock.now()), at=clock.now() + 0.875)
    await broker.settle([retry])
    clock.advance(2)
    assert (await broker.forward(["default"], 2)).moved == 2
    assert (await broker.forward(["default"], 10)) == (3, None)
    assert await ids(broker, TaskState.PENDING) == ["first", "second", "third", "retry", "fifth"]


async def test_rule_8_a_short_delay_that_was_cut_short_moves_the_task_no_second_time(
    broker: Store, clock: FakeClock
) -> None:
    # Given tasks that were due soon, until an operator acted on them
    batch = [entry(id, at=clock.now() + 0.5) for id in ("run", "archived", "deleted", "again")]
    await put(broker, *batch)
    run, archived, deleted, again = [one.message.ref for one in batch]
    await broker.move(Action.RUN, [run, again])
    await broker.move(Action.ARCHIVE, [archived])
    await broker.move(Action.DELETE, [deleted])
    # And one of them that has failed meanwhile
    _, lease = await take(broker, 2)
    await broker.settle([failed(lease, clock.now())])
    clock.advance(0.5)
    assert await broker.forward(["default"], 10) == (0, clock.now() + 59.5)
    assert await state_of(broker, "run") is TaskState.ACTIVE
    assert await state_of(broker, "archived") is TaskState.ARCHIVED
    assert await state_of(broker, "deleted") is None
    assert await state_of(broker, "again") is TaskState.RETRY


async def test_rule_8_a_member_of_a_group_joins_it_after_a_short_delay(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 0.25, group="news"))
    clock.advance(0.25)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await ids(broker, TaskState.AGGREGATING, group="news") == ["a"]
