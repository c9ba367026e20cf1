"""Rule 4: in the order given, past the paused ones, oldest first, never too many; task and lease together."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import aborted, entry
from tests.conformance.looks import ids, picture, put, see, take


async def test_rule_4_the_oldest_task_comes_first(broker: Store, clock: FakeClock) -> None:
    for id in ("z", "m", "a"):
        await put(broker, entry(id))
        clock.advance(1)
    assert [lease.message.id for lease in await take(broker, 3)] == ["z", "m", "a"]


async def test_rule_4_tasks_of_the_same_instant_come_in_the_order_they_were_given(broker: Store) -> None:
    await put(broker, *map(entry, "zmab"))
    await put(broker, *map(entry, "yc"))
    assert [lease.message.id for lease in await take(broker, 10)] == list("zmabyc")


async def test_rule_4_never_more_than_the_limit(broker: Store) -> None:
    await put(broker, *map(entry, "abcde"))
    assert len(await take(broker, 3)) == 3
    assert len(await take(broker, 1)) == 1
    assert len(await take(broker, 10)) == 1


async def test_rule_4_a_limit_of_nothing_takes_nothing(broker: Store) -> None:
    await put(broker, entry("a"))
    assert await take(broker, 0) == []
    assert await ids(broker, TaskState.PENDING) == ["a"]


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")])
async def test_rule_4_queues_are_looked_at_in_the_order_given(broker: Store, order: tuple[str, ...]) -> None:
    await put(broker, *(entry(f"{queue}{n}", queue=queue) for queue in "bca" for n in (1, 2)))
    expected = [f"{queue}{n}" for queue in order for n in (1, 2)]
    assert [lease.message.id for lease in await take(broker, 3, queues=order)] == expected[:3]
    assert [lease.message.id for lease in await take(broker, 9, queues=order)] == expected[3:]


async def test_rule_4_the_order_of_the_call_counts_not_the_age_of_the_tasks(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("old", queue="low"))
    clock.advance(1000)
    await put(broker, entry("young", queue="high"))
    [lease] = await take(broker, 1, queues=["high", "low"])
    assert lease.message.id == "young"


async def test_rule_4_only_the_queues_named_are_looked_at(broker: Store) -> None:
    await put(broker, entry("a", queue="one"), entry("b", queue="two"))
    assert [lease.message.id for lease in await take(broker, 9, queues=["two"])] == ["b"]
    assert await take(broker, 9, queues=[]) == []


async def test_rule_4_paused_queues_are_skipped_and_the_next_one_served(broker: Store) -> None:
    await put(broker, entry("a", queue="one"), entry("b", queue="two"))
    await broker.pause("one", True)
    assert [lease.message.id for lease in await take(broker, 9, queues=["one", "two"])] == ["b"]
    assert await ids(broker, TaskState.PENDING, "one") == ["a"]


async def test_rule_4_a_resumed_queue_is_served_again(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause("default", True)
    assert await take(broker) == []
    await broker.pause("default", False)
    assert [lease.message.id for lease in await take(broker)] == ["a"]


async def test_rule_4_an_unknown_queue_is_an_empty_one_and_stays_unknown(broker: Store) -> None:
    await put(broker, entry("a"))
    assert [lease.message.id for lease in await take(broker, 5, queues=["ghost", "default"])] == ["a"]
    assert await broker.queues() == ["default"]


async def test_rule_4_looking_at_an_empty_queue_changes_nothing(broker: Store) -> None:
    await put(broker, entry("a", queue="other"))
    before = await picture(broker)
    assert await take(broker) == []
    assert await picture(broker) == before


async def test_rule_4_a_task_and_its_lease_appear_together(broker: Store, clock: FakeClock) -> None:
    # Given a pending task
    await put(broker, entry("a"))
    clock.advance(5)
    # When it is taken
    [lease] = await take(broker, lease=30)
    # Then it is ACTIVE, its lease runs from now on, and it is nobody's orphan
    assert lease.expires_at == clock.now() + 30
    seen = await see(broker, "a")
    assert (seen.state, seen.is_orphaned, seen.pending_since) == (TaskState.ACTIVE, False, 0.0)
    expired = await broker.expired(["default"], 10)
    assert expired.leases == []
    assert expired.next_at == lease.expires_at


async def test_rule_4_a_task_is_handed_out_once(broker: Store) -> None:
    await put(broker, *map(entry, "abc"))
    handed = [lease.message.id for _ in range(5) for lease in await take(broker)]
    assert handed == ["a", "b", "c"]


async def test_rule_4_a_queue_named_twice_hands_out_its_tasks_once(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    assert [lease.message.id for lease in await take(broker, 9, queues=["default", "default"])] == ["a", "b"]


async def test_rule_4_only_pending_tasks_are_handed_out(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 5), entry("b", group="g"))
    clock.advance(1000)
    assert await take(broker, 9) == []


async def test_rule_4_active_tasks_are_shown_in_the_order_they_were_taken(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "zam"))
    await take(broker, 2, lease=500)
    clock.advance(1)
    await take(broker, 1, lease=5)
    assert await ids(broker, TaskState.ACTIVE) == ["z", "a", "m"]


async def test_a_lease_says_since_when_its_task_was_pending(broker: Store, clock: FakeClock) -> None:
    # Given a task put in, one that became due later, and one that was handed back
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
    # Then each lease knows since when it can have been taken: that is what its task waited for
    since = {lease.message.id: lease.pending_since - start for lease in leases}
    assert since == {
        "back": pytest.approx(16, abs=0.01),
        "due": pytest.approx(12, abs=0.01),
        "new": pytest.approx(2, abs=0.01),
    }
