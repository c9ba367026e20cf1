"""Statistics: truthful, and the same price however much there is."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.groups import GroupRule
from asynqio.core.info import QueueStats
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import aborted, entry, failed
from tests.conformance.looks import bring, put, take


async def figures(broker: Store) -> QueueStats:
    [stats] = await broker.stats(["default"])
    return stats


async def test_the_oldest_pending_task_may_stand_behind_those_that_were_handed_back(
    broker: Store, clock: FakeClock
) -> None:
    # Given a task that waits, and two from before it that a server hands back
    start = clock.now()
    await put(broker, entry("a"), entry("b"))
    held = await take(broker, 2)
    clock.advance(5)
    await put(broker, entry("c"))
    clock.advance(20)
    await broker.settle([aborted(lease, clock.now()) for lease in reversed(held)])
    # When some time has passed
    clock.advance(2)
    # Then the one behind them waits longest
    stats = await figures(broker)
    assert (stats.oldest_pending_at, stats.latency) == (start + 5, 22.0)


async def test_no_pending_task_no_latency(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 5))
    stats = await figures(broker)
    assert (stats.oldest_pending_at, stats.latency) == (0.0, 0.0)


async def test_an_overdue_task_tells_that_nobody_forwards(broker: Store, clock: FakeClock) -> None:
    # Given one task that is retried, and one that was scheduled before that
    await bring(broker, clock, TaskState.RETRY, entry("a"))
    due = clock.now() + 10
    await put(broker, entry("b", at=due))
    assert (await figures(broker)).overdue_since == 0.0
    # When both are due and nobody moves them
    clock.advance(200)
    # Then the one that is overdue for longest tells since when, until they are moved
    assert (await figures(broker)).overdue_since == due
    await broker.forward(["default"], 10)
    assert (await figures(broker)).overdue_since == 0.0


async def test_the_figures_follow_every_step_of_groups(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"{group}-{number}", group=group) for group in "gh" for number in range(3)))
    stats = await figures(broker)
    assert (stats.aggregating, stats.groups, stats.estimated) == (6, 2, False)
    # What is claimed still counts, but waits in no group any more
    claimed = await broker.claim_groups(["default"], GroupRule(grace=0.0, max_size=3), 1)
    assert [len(batch.messages) for batch in claimed.batches] == [3]
    stats = await figures(broker)
    assert (stats.aggregating, stats.groups) == (6, 1)
    # and comes back when nobody finishes it
    clock.advance(1_000)
    await broker.sweep(["default"], 10)
    stats = await figures(broker)
    assert (stats.aggregating, stats.groups) == (6, 2)
    await broker.move(Action.DELETE, [TaskRef("default", f"g-{number}") for number in range(3)])
    stats = await figures(broker)
    assert (stats.aggregating, stats.groups, stats.size) == (3, 1, 3)


async def test_the_figures_of_a_failed_task_move_with_it(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    stats = await figures(broker)
    assert (stats.pending, stats.active, stats.size) == (0, 1, 1)
    await broker.settle([failed(held, clock.now())])
    stats = await figures(broker)
    assert (stats.active, stats.retry, stats.size) == (0, 1, 1)


async def test_a_store_says_what_it_is_made_of(kind: str, broker: Store) -> None:
    await put(broker, entry("a"))
    nodes = await broker.nodes()
    made_of = {"memory": 0, "flaky": 0, "sqlite": 1, "redis": 1, "redis-cluster": 3}
    assert len(nodes) == made_of[kind]
    for node in nodes:
        assert node.name
        assert node.version.partition(" ")[0] in ("SQLite", "Redis", "Valkey")
        assert 0 < node.used <= node.peak
        assert (node.connections > 0) == kind.startswith("redis")


async def test_who_is_replaced_by_one_of_its_own_batch_is_counted_once(
    broker: Store, clock: FakeClock
) -> None:
    first = entry("a", unique=60.0)
    later = entry("c", unique=60.0, at=clock.now() + 60, on_duplicate="replace")
    await broker.enqueue([first, entry("b"), later])
    stats = await figures(broker)
    assert (stats.pending, stats.scheduled, stats.size) == (1, 1, 2)
