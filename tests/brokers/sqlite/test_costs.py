"""Costs: a transaction does a bounded amount of work however much is stored, due or expired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.limits import ARCHIVE_AGE, FIRES_AGE
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.sqlite.pace import STEP
from asynqio.core.groups import BATCH_LEASE, GroupRule, GroupRules
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.runtime.duties.sweeper import BATCH_SIZE
from asynqio.testing import FakeClock
from tests.brokers.sqlite.meter import Meter
from tests.builders import archived, entry, settlement
from tests.conformance.helpers import put, take

#: Steps of one row with its triggers, and of a transaction around it: generous.
ROW, FRAME = 300, 20_000
#: More rows than a few transactions change.
MANY = 8 * STEP


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(monkeypatch)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tasks.db"


@pytest.fixture
async def broker(meter: Meter, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_broker(url, clock=clock) as store:
        yield store


def refs(count: int) -> list[TaskRef]:
    return [TaskRef("default", f"{number}") for number in range(count)]


async def fill(broker: Store, count: int, **options: float | str) -> None:
    await put(broker, *(entry(f"{number}", payload=b"%d" % number, **options) for number in range(count)))  # type: ignore[arg-type]


async def fill_archive(broker: Store, count: int) -> None:
    await fill(broker, count)
    await broker.move_all(Action.ARCHIVE, Where("default", TaskState.PENDING))


async def archive_one(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry())
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])


async def sizes(broker: Store) -> tuple[int, int]:
    [stats] = await broker.stats(["default"])
    return stats.archived, stats.evicted_total


# --- the archive ----------------------------------------------------------------------------------


async def test_archiving_costs_the_same_beside_a_large_archive(
    meter: Meter, url: str, clock: FakeClock
) -> None:
    costs = []
    for size in (10, 5_000):
        async with open_broker(f"{url}-{size}?archive_limit={size}", clock=clock) as broker:
            await fill_archive(broker, size)
            meter.clear()
            await archive_one(broker, clock)
            costs.append(meter.most)
            assert await sizes(broker) == (size, 1)
    assert costs[1] <= 1.2 * costs[0] + 200, costs


async def test_a_lowered_archive_limit_is_reached_in_short_transactions(
    meter: Meter, url: str, clock: FakeClock
) -> None:
    async with open_broker(f"{url}?archive_limit=100000", clock=clock) as broker:
        await fill_archive(broker, MANY)
    async with open_broker(f"{url}?archive_limit=10", clock=clock) as broker:
        meter.clear()
        await archive_one(broker, clock)
        after, evicted = await sizes(broker)
        assert (after + evicted, evicted) == (MANY + 1, 101), (
            "a settlement evicts a little more than it archives"
        )
        assert meter.most < 120 * ROW + FRAME
        meter.clear()
        while (await broker.sweep(["default"], BATCH_SIZE)).next_at is not None:
            pass
        assert await sizes(broker) == (10, MANY - 9)
        assert meter.most < STEP * ROW + FRAME
        assert len(meter.steps) >= (MANY - 110) / STEP


async def test_tasks_that_were_archived_long_ago_are_evicted_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    await fill_archive(broker, MANY)
    clock.advance(ARCHIVE_AGE)
    meter.clear()
    while (await broker.sweep(["default"], BATCH_SIZE)).next_at is not None:
        pass
    assert await sizes(broker) == (0, MANY)
    assert meter.most < STEP * ROW + FRAME


# --- what is due or expired -----------------------------------------------------------------------


async def test_many_due_tasks_are_forwarded_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    await fill(broker, MANY, at=clock.now() + 60)
    clock.advance(60)
    meter.clear()
    moved, next_at = await broker.forward(["default"], MANY)
    assert (moved, next_at) == (MANY, None)
    assert meter.most < STEP * ROW + FRAME
    assert len(meter.steps) == MANY / STEP
    assert [lease.message.id for lease in await take(broker, MANY)] == [ref.id for ref in refs(MANY)]


async def test_many_expired_tasks_are_deleted_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    await fill(broker, MANY, retention=60.0)
    await broker.settle([settlement(lease, now=clock.now()) for lease in await take(broker, MANY)])
    clock.advance(60)
    meter.clear()
    assert (await broker.sweep(["default"], MANY)).deleted == MANY
    assert meter.most < STEP * ROW + FRAME
    assert (await broker.stats(["default"]))[0].size == 0


async def test_deletions_of_one_transaction_are_one_statement(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    # Within a savepoint, the cost of each deletion with triggers grows with the deletions before it.
    await fill(broker, STEP, retention=60.0)
    await broker.settle([settlement(lease, now=clock.now()) for lease in await take(broker, STEP)])
    clock.advance(60)
    meter.clear()
    await asyncio.gather(
        broker.sweep(["default"], BATCH_SIZE), *(archive_one(broker, clock) for _ in range(9))
    )
    assert len({statement for statement in meter.statements if "DELETE FROM tasks" in statement}) == 1


async def test_many_expired_locks_are_deleted_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    await fill(broker, MANY, unique=60.0, until="expired")
    clock.advance(60)
    meter.clear()
    await broker.sweep(["default"], BATCH_SIZE)
    assert meter.most < STEP * ROW + FRAME
    assert len(meter.steps) >= MANY / STEP
    meter.clear()
    await broker.sweep(["default"], BATCH_SIZE)
    assert meter.steps == [], "all are deleted"


async def test_each_expired_batch_is_returned_in_its_own_transaction(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    await fill(broker, MANY, group="g")
    batches = (await broker.claim_groups(["default"], GroupRule(max_size=STEP), 99)).batches
    clock.advance(BATCH_LEASE)
    meter.clear()
    await broker.sweep(["default"], BATCH_SIZE)
    assert len(meter.steps) >= len(batches) == MANY / STEP
    assert meter.most < STEP * ROW + FRAME
    assert [group.size for group in await broker.groups("default")] == [MANY]


async def test_claiming_a_group_by_name_costs_the_same_beside_many_groups(
    meter: Meter, url: str, clock: FakeClock
) -> None:
    costs = []
    for size in (10, 3_000):
        async with open_broker(f"{url}-{size}", clock=clock) as broker:
            await put(broker, *(entry(f"{number}", group=f"g{number}") for number in range(size)))
            clock.advance(60)
            await put(broker, entry("late", group="g7"))
            # Groups that are not ripe are only read, and no policy leaves anything behind
            meter.clear()
            for number in range(10):
                rule = GroupRule(grace=100.0 + number)
                policy = GroupRules({f"g{number}": rule, "ghost": rule}, exact=True)
                assert (await broker.claim_groups(["default"], policy, 10)).batches == []
            assert meter.statements == []
            policy = GroupRules({"g7": GroupRule(max_size=2)}, exact=True)
            assert len((await broker.claim_groups(["default"], policy, 10)).batches) == 1
            costs.append(meter.most)
            assert not any("group_rules" in statement for statement in meter.statements)
    assert costs[1] <= 1.2 * costs[0] + 200, costs


async def test_many_cancellations_are_written_and_deleted_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    meter.clear()
    await broker.cancel(refs(MANY))
    assert meter.most < STEP * ROW + FRAME
    clock.advance(60)
    meter.clear()
    await broker.sweep(["default"], BATCH_SIZE)
    assert 0 < meter.most < MANY * 50 + FRAME
    meter.clear()
    await broker.sweep(["default"], BATCH_SIZE)
    assert meter.steps == []


async def test_without_due_tasks_nothing_is_written(broker: Store, meter: Meter, clock: FakeClock) -> None:
    await fill(broker, 10, at=clock.now() + 60)
    await put(broker, entry("a", unique=60.0), entry("b", group="g"))
    await archive_one(broker, clock)
    await broker.cancel(refs(1))
    meter.clear()
    await broker.forward(["default", "other"], 1_000)
    await broker.sweep(["default", "other"], 1_000)
    assert meter.steps == []


# --- operators ------------------------------------------------------------------------------------


async def _delete(broker: Store) -> None:
    assert await broker.move(Action.DELETE, refs(MANY)) == [Moved.DONE] * MANY


async def _archive(broker: Store) -> None:
    assert await broker.move(Action.ARCHIVE, refs(MANY)) == [Moved.DONE] * MANY


async def _delete_all(broker: Store) -> None:
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING)) == MANY


async def _archive_all(broker: Store) -> None:
    assert await broker.move_all(Action.ARCHIVE, Where("default", TaskState.PENDING)) == MANY


async def _transfer(broker: Store) -> None:
    assert await broker.transfer(refs(MANY), "other") == [Moved.DONE] * MANY


async def _rewrite(broker: Store) -> None:
    assert await broker.rewrite(dict.fromkeys(refs(MANY), b"{}")) == [Moved.DONE] * MANY


async def _remove(broker: Store) -> None:
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []


@pytest.mark.parametrize(
    "action", [_delete, _archive, _delete_all, _archive_all, _transfer, _rewrite, _remove]
)
async def test_operators_change_many_tasks_in_short_transactions(
    broker: Store, meter: Meter, action: Callable[[Store], Awaitable[None]]
) -> None:
    await fill(broker, MANY, unique=600.0)
    meter.clear()
    await action(broker)
    assert meter.most < STEP * 2 * ROW + FRAME
    assert len(meter.steps) >= MANY / STEP


# --- schedules ------------------------------------------------------------------------------------


async def test_many_schedules_are_registered_and_pruned_in_short_transactions(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    ids = [f"s{number}" for number in range(MANY)]
    meter.clear()
    assert len(await broker.register_schedules("default", ids)) == MANY
    await broker.record([FireEvent(id, "task", clock.now()) for id in ids])
    assert meter.most < STEP * ROW + FRAME
    clock.advance(FIRES_AGE + 1)
    meter.clear()
    assert await broker.prune_schedules("default", ids, clock.now()) == MANY
    assert meter.most < STEP * ROW + FRAME


async def test_pruning_costs_the_same_beside_a_long_history(
    broker: Store, meter: Meter, clock: FakeClock
) -> None:
    costs = []
    for events in (1, MANY):
        await broker.record([FireEvent("s", "task", clock.now())] * events)
        meter.clear()
        await broker.prune_schedules("default", ["other"], clock.now())
        costs.append(meter.most)
    assert costs[0] == costs[1]
