"""Rule 12: time is the clock given at construction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.groups import BATCH_LEASE, GroupRule
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import entry, server_info, settlement
from tests.conformance.conftest import make_store
from tests.conformance.helpers import get_task, is_locked, put, recover, state_of, take


@pytest.fixture(params=[86_400.0, 7_258_118_400.0], ids=["in 1970", "in 2200"])
def clock(request: pytest.FixtureRequest) -> FakeClock:
    """A clock that differs from the system clock by years."""
    return FakeClock(float(request.param))


@pytest.fixture
async def broker(kind: str, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with make_store(kind, url, clock) as store:
        yield store


async def test_rule_12_the_broker_has_the_given_clock(broker: Store, clock: FakeClock) -> None:
    assert broker.clock is clock
    assert broker.clone().clock is clock


async def test_rule_12_every_transition_uses_the_given_clock(broker: Store, clock: FakeClock) -> None:
    start = clock.now()
    await put(broker, entry("a", at=start + 10, unique=1000, retention=60.0))
    await broker.beat(server_info(), 5)
    # due
    assert (await broker.forward(["default"], 9)).moved == 0
    clock.advance(10)
    assert (await broker.forward(["default"], 9)).moved == 1
    assert (await get_task(broker, "a")).pending_since == start + 10
    assert await broker.servers() == []
    # waiting
    clock.advance(5)
    assert (await broker.stats(["default"]))[0].latency == 5
    # leased, expired, recovered
    [lease] = await take(broker, lease=30)
    assert lease.expires_at == start + 45
    clock.advance(30)
    assert await recover(broker, clock) == [True]
    # succeeded, counted on the day of the clock
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=clock.now())])
    [today] = await broker.history("default", 1)
    assert today.day == ("1970-01-02" if start < 1e6 else "2200-01-01")
    assert today.processed == 2
    # swept
    clock.advance(60)
    assert (await broker.sweep(["default"], 9)).deleted == 1


async def test_rule_12_locks_and_batches_use_the_given_clock(broker: Store, clock: FakeClock) -> None:
    one = entry("a", group="g", unique=60)
    await put(broker, one)
    assert (await broker.claim_groups(["default"], GroupRule(grace=1), 9)).batches == []
    clock.advance(1)
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=1), 9)).batches
    assert batch.expires_at == clock.now() + BATCH_LEASE
    assert await is_locked(broker, one)
    clock.advance(59)
    assert not await is_locked(broker, one)
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 9)
    assert [group.size for group in await broker.groups("default")] == [1]


async def test_rule_12_a_clock_set_back_breaks_nothing(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 10), entry("b"))
    [lease] = await take(broker, lease=30)
    clock.jump(-3600)
    assert (await broker.forward(["default"], 9)).moved == 0
    assert (await broker.expired(["default"], 9)).leases == []
    assert await broker.renew([lease], 30) == [True]
    assert lease.expires_at == clock.now() + 30
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]
    await put(broker, entry("c"))
    assert (await broker.stats(["default"]))[0].latency == 0
    assert await state_of(broker, "c") is TaskState.PENDING
