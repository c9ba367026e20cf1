"""Stats: correct after every operation."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.groups import GroupRule
from asynqio.core.info import QueueStats
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import aborted, entry, failed
from tests.conformance.conftest import broker_of
from tests.conformance.helpers import put, put_in_state, take


async def stats_of(broker: Store) -> QueueStats:
    [stats] = await broker.stats(["default"])
    return stats


async def test_the_longest_waiting_task_may_be_behind_returned_ones(broker: Store, clock: FakeClock) -> None:
    # Given a pending task, and two older ones that a server returns
    start = clock.now()
    await put(broker, entry("a"), entry("b"))
    held = await take(broker, 2)
    clock.advance(5)
    await put(broker, entry("c"))
    clock.advance(20)
    await broker.settle([aborted(lease, clock.now()) for lease in reversed(held)])
    # When some time has passed
    clock.advance(2)
    # Then the task behind them has waited longest
    stats = await stats_of(broker)
    assert (stats.oldest_pending_at, stats.latency) == (start + 5, 22.0)


async def test_without_pending_tasks_latency_is_zero(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 5))
    stats = await stats_of(broker)
    assert (stats.oldest_pending_at, stats.latency) == (0.0, 0.0)


async def test_overdue_since_is_when_the_first_overdue_task_was_due(broker: Store, clock: FakeClock) -> None:
    # Given a task in retry, and one scheduled before its due time
    await put_in_state(broker, clock, TaskState.RETRY, entry("a"))
    due = clock.now() + 10
    await put(broker, entry("b", at=due))
    assert (await stats_of(broker)).overdue_since == 0.0
    # When both are due and not forwarded
    clock.advance(200)
    # Then `overdue_since` is the earlier due time, until they are forwarded
    assert (await stats_of(broker)).overdue_since == due
    await broker.forward(["default"], 10)
    assert (await stats_of(broker)).overdue_since == 0.0


async def test_group_stats_follow_every_operation_on_groups(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"{group}-{number}", group=group) for group in "gh" for number in range(3)))
    stats = await stats_of(broker)
    assert (stats.aggregating, stats.groups, stats.estimated) == (6, 2, False)
    # Claimed members still count, but are in no group
    claimed = await broker.claim_groups(["default"], GroupRule(grace=0.0, max_size=3), 1)
    assert [len(batch.messages) for batch in claimed.batches] == [3]
    stats = await stats_of(broker)
    assert (stats.aggregating, stats.groups) == (6, 1)
    # and return when the batch expires
    clock.advance(1_000)
    await broker.sweep(["default"], 10)
    stats = await stats_of(broker)
    assert (stats.aggregating, stats.groups) == (6, 2)
    await broker.move(Action.DELETE, [TaskRef("default", f"g-{number}") for number in range(3)])
    stats = await stats_of(broker)
    assert (stats.aggregating, stats.groups, stats.size) == (3, 1, 3)


async def test_stats_follow_a_failed_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    stats = await stats_of(broker)
    assert (stats.pending, stats.active, stats.size) == (0, 1, 1)
    await broker.settle([failed(held, clock.now())])
    stats = await stats_of(broker)
    assert (stats.active, stats.retry, stats.size) == (0, 1, 1)


async def test_nodes_lists_the_nodes_of_the_store(kind: str, broker: Store) -> None:
    await put(broker, entry("a"))
    nodes = await broker.nodes()
    made_of = {"memory": 0, "sqlite": 1, "redis": 1, "redis-cluster": 3}
    assert len(nodes) == made_of[broker_of(kind)]
    for node in nodes:
        assert node.name
        assert node.version.partition(" ")[0] in ("SQLite", "Redis", "Valkey")
        assert 0 < node.used <= node.peak
        assert (node.connections > 0) == broker_of(kind).startswith("redis")


async def test_an_entry_replaced_in_its_own_batch_is_counted_once(broker: Store, clock: FakeClock) -> None:
    first = entry("a", unique=60.0)
    later = entry("c", unique=60.0, at=clock.now() + 60, on_duplicate="replace")
    await broker.enqueue([first, entry("b"), later])
    stats = await stats_of(broker)
    assert (stats.pending, stats.scheduled, stats.size) == (1, 1, 2)
