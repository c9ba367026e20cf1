"""Rule 4: queues in the given order, oldest task first, at most `limit`; a task and its lease in one step."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import aborted, entry
from tests.conformance.helpers import get_task, ids, put, snapshot, take


async def test_rule_4_the_oldest_task_comes_first(broker: Store, clock: FakeClock) -> None:
    for id in ("z", "m", "a"):
        await put(broker, entry(id))
        clock.advance(1)
    assert [lease.message.id for lease in await take(broker, 3)] == ["z", "m", "a"]


async def test_rule_4_tasks_enqueued_at_the_same_time_keep_their_order(broker: Store) -> None:
    await put(broker, *map(entry, "zmab"))
    await put(broker, *map(entry, "yc"))
    assert [lease.message.id for lease in await take(broker, 10)] == list("zmabyc")


async def test_rule_4_never_more_than_the_limit(broker: Store) -> None:
    await put(broker, *map(entry, "abcde"))
    assert len(await take(broker, 3)) == 3
    assert len(await take(broker, 1)) == 1
    assert len(await take(broker, 10)) == 1


async def test_rule_4_a_limit_of_zero_leases_nothing(broker: Store) -> None:
    await put(broker, entry("a"))
    assert await take(broker, 0) == []
    assert await ids(broker, TaskState.PENDING) == ["a"]


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
async def test_rule_4_queues_are_read_in_the_order_given(broker: Store, order: tuple[str, ...]) -> None:
    await put(broker, *(entry(f"{queue}{n}", queue=queue) for queue in "bca" for n in (1, 2)))
    expected = [f"{queue}{n}" for queue in order for n in (1, 2)]
    assert [lease.message.id for lease in await take(broker, 3, queues=order)] == expected[:3]
    assert [lease.message.id for lease in await take(broker, 9, queues=order)] == expected[3:]


async def test_rule_4_the_order_of_queues_precedes_the_age_of_tasks(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("old", queue="low"))
    clock.advance(1000)
    await put(broker, entry("young", queue="high"))
    [lease] = await take(broker, 1, queues=["high", "low"])
    assert lease.message.id == "young"


async def test_rule_4_only_the_given_queues_are_read(broker: Store) -> None:
    await put(broker, entry("a", queue="one"), entry("b", queue="two"))
    assert [lease.message.id for lease in await take(broker, 9, queues=["two"])] == ["b"]
    assert await take(broker, 9, queues=[]) == []


async def test_rule_4_paused_queues_are_skipped(broker: Store) -> None:
    await put(broker, entry("a", queue="one"), entry("b", queue="two"))
    await broker.pause("one", True)
    assert [lease.message.id for lease in await take(broker, 9, queues=["one", "two"])] == ["b"]
    assert await ids(broker, TaskState.PENDING, "one") == ["a"]


async def test_rule_4_a_resumed_queue_is_read_again(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause("default", True)
    assert await take(broker) == []
    await broker.pause("default", False)
    assert [lease.message.id for lease in await take(broker)] == ["a"]


async def test_rule_4_an_unknown_queue_is_empty_and_is_not_created(broker: Store) -> None:
    await put(broker, entry("a"))
    assert [lease.message.id for lease in await take(broker, 5, queues=["ghost", "default"])] == ["a"]
    assert await broker.queues() == ["default"]


async def test_rule_4_dequeue_from_an_empty_queue_changes_nothing(broker: Store) -> None:
    await put(broker, entry("a", queue="other"))
    before = await snapshot(broker)
    assert await take(broker) == []
    assert await snapshot(broker) == before


async def test_rule_4_a_task_and_its_lease_are_created_in_one_step(broker: Store, clock: FakeClock) -> None:
    # Given a pending task
    await put(broker, entry("a"))
    clock.advance(5)
    # When it is taken
    [lease] = await take(broker, lease=30)
    # Then it is ACTIVE, its lease starts now, and it is not orphaned
    assert lease.expires_at == clock.now() + 30
    seen = await get_task(broker, "a")
    assert (seen.state, seen.is_orphaned, seen.pending_since) == (TaskState.ACTIVE, False, 0.0)
    expired = await broker.expired(["default"], 10)
    assert expired.leases == []
    assert expired.next_at == lease.expires_at


async def test_rule_4_a_task_is_leased_once(broker: Store) -> None:
    await put(broker, *map(entry, "abc"))
    leased = [lease.message.id for _ in range(5) for lease in await take(broker)]
    assert leased == ["a", "b", "c"]


async def test_rule_4_a_queue_given_twice_is_read_once(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    assert [lease.message.id for lease in await take(broker, 9, queues=["default", "default"])] == ["a", "b"]


async def test_rule_4_only_pending_tasks_are_leased(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 5), entry("b", group="g"))
    clock.advance(1000)
    assert await take(broker, 9) == []


async def test_rule_4_active_tasks_are_listed_in_the_order_of_their_leases(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "zam"))
    await take(broker, 2, lease=500)
    clock.advance(1)
    await take(broker, 1, lease=5)
    assert await ids(broker, TaskState.ACTIVE) == ["z", "a", "m"]


async def test_a_timed_lease_says_when_its_task_became_pending(broker: Store, clock: FakeClock) -> None:
    # Given an enqueued task, one that became due later, and one that was returned
    start = clock.now()
    await put(broker, entry("back"), entry("due", at=start + 5))
    clock.advance(2)
    [back] = await take(broker, 1)
    await put(broker, entry("new"))
    clock.advance(10)
    await broker.forward(["default"], 10)
    clock.advance(4)
    await broker.settle([aborted(back, clock.now())])
    clock.advance(20)
    # When they are taken
    leases = await broker.dequeue(["default"], 10, 30, "me", timed=True)
    # Then each lease says since when its task was pending
    since = {lease.message.id: lease.pending_since - start for lease in leases}
    assert since == {
        "back": pytest.approx(16, abs=0.01),
        "due": pytest.approx(12, abs=0.01),
        "new": pytest.approx(2, abs=0.01),
    }
