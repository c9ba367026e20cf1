"""Rule 9: `expired` only reads; the outcome of an abandoned task is decided by `decide`."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import abandoned, entry, settlement
from tests.conformance.helpers import find_task, get_task, ids, put, recover, snapshot, state_of, take


async def test_rule_9_a_lease_expires_at_its_time(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=30)
    clock.advance(29)
    assert await broker.expired(["default"], 10) == ([], clock.now() + 1)
    assert not (await get_task(broker, "a")).is_orphaned
    clock.advance(1)
    found = await broker.expired(["default"], 10)
    assert [(lease.message, lease.expires_at) for lease in found.leases] == [
        (lease.message, lease.expires_at)
    ]
    assert found.next_at is None
    assert (await get_task(broker, "a")).is_orphaned


async def test_rule_9_expired_changes_nothing(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "abc"))
    await take(broker, 2, lease=10)
    clock.advance(10)
    before = await snapshot(broker)
    first = await broker.expired(["default"], 10)
    assert await snapshot(broker) == before
    again = await broker.expired(["default"], 10)
    assert sorted(lease.message.id for lease in again.leases) == ["a", "b"]
    assert sorted(lease.message.id for lease in first.leases) == ["a", "b"]


async def test_rule_9_next_at_is_the_next_expiry_of_the_other_leases(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "abc"))
    for seconds in (30, 10, 20):
        await take(broker, lease=seconds)
    clock.advance(10)
    found = await broker.expired(["default"], 10)
    assert [lease.message.id for lease in found.leases] == ["b"]
    assert found.next_at == clock.now() + 10


async def test_rule_9_at_most_limit_leases_are_returned(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "abcde"))
    await take(broker, 5, lease=10)
    clock.advance(10)
    found: list[str] = []
    for _ in range(3):
        leases = (await broker.expired(["default"], 2)).leases
        assert len(leases) <= 2
        await broker.settle([abandoned(lease, clock.now()) for lease in leases])
        found += [lease.message.id for lease in leases]
    assert sorted(found) == list("abcde")
    assert (await broker.expired(["default"], 2)).leases == []


async def test_rule_9_only_the_given_queues_are_read(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", queue="one"), entry("b", queue="two"))
    await take(broker, 2, queues=["one", "two"], lease=10)
    clock.advance(10)
    assert [lease.message.id for lease in (await broker.expired(["two"], 9)).leases] == ["b"]
    assert await broker.expired(["ghost"], 9) == ([], None)
    assert await broker.expired([], 9) == ([], None)


async def test_rule_9_paused_queues_are_read_too(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await take(broker, lease=10)
    await broker.pause("default", True)
    clock.advance(10)
    assert len((await broker.expired(["default"], 9)).leases) == 1


async def test_rule_9_an_abandoned_task_is_pending_at_once_at_the_front(
    broker: Store, clock: FakeClock
) -> None:
    # Given a task whose server died, and another one behind it
    await put(broker, *map(entry, "ab"))
    await take(broker, lease=10)
    clock.advance(10)
    # When it is recovered
    assert await recover(broker, clock) == [True]
    # Then it is next, counted as failed and retried, with an error
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]
    seen = await get_task(broker, "a")
    assert (seen.retried, seen.crashes) == (1, 1)
    assert "lease expired" in seen.last_error
    [stats] = await broker.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 1)


async def test_rule_9_of_two_recoveries_of_a_task_one_succeeds(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await take(broker, lease=10)
    clock.advance(10)
    [first] = (await broker.expired(["default"], 9)).leases
    [second] = (await broker.expired(["default"], 9)).leases
    assert await broker.settle([abandoned(first, clock.now())]) == [True]
    assert await broker.settle([abandoned(second, clock.now())]) == [False]
    assert (await get_task(broker, "a")).retried == 1


async def test_rule_9_an_expired_lease_is_lost_once_its_owner_settled(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [mine] = await take(broker, lease=10)
    clock.advance(10)
    [found] = (await broker.expired(["default"], 9)).leases
    assert await broker.settle([settlement(mine, now=clock.now())]) == [True]
    assert await broker.settle([abandoned(found, clock.now())]) == [False]
    assert await find_task(broker, "a") is None


async def test_rule_9_a_task_that_keeps_crashing_workers_is_archived(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    for _ in range(3):
        assert await state_of(broker, "a") is TaskState.PENDING
        await take(broker, lease=10)
        clock.advance(10)
        assert await recover(broker, clock) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.crashes) == (TaskState.ARCHIVED, 3)
    assert "crash loop" in seen.last_error


async def test_rule_9_accepts_writes_answers_per_queue_and_changes_nothing(broker: Store) -> None:
    await put(broker, entry("a"), entry("b", queue="two"))
    await take(broker, queues=["default"], lease=10)
    before = await snapshot(broker)
    assert await broker.accepts_writes(["default", "two", "ghost"]) == [True, True, True]
    assert await broker.accepts_writes([]) == []
    assert await snapshot(broker) == before
    assert await broker.queues() == ["default", "two"]
