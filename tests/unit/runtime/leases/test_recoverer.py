"""When an expired lease is recovered."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, cast

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Expired
from asynqio.core.lifecycle import Lease, Policy
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.events import Events
from asynqio.runtime.leases.recoverer import CONFIRMATION, RETURN_GRACE, Recoverer
from asynqio.testing import FakeClock, Flaky
from tests.builders import entry


class Bystander:
    """A server that runs nothing itself."""

    def __init__(self) -> None:
        self.events = Events()

    def is_running(self, lease: Lease) -> bool:
        return False

    def policy_of(self, message: TaskMessage) -> Policy:
        return Policy()


class Slow:
    """A store that takes a second to list expired leases."""

    def __init__(self, clock: FakeClock) -> None:
        self._store = open_broker("memory://", clock=clock)
        self._clock = clock

    @property
    def broker(self) -> Store:
        return cast("Store", self)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        self._clock.advance(1.0)
        return await self._store.expired(queues, limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def abandoned(clock: FakeClock) -> tuple[Store, Recoverer, Lease]:
    """A task whose lease of 30 s has just lapsed, and a recoverer."""
    broker = open_broker("memory://", clock=clock)
    return await leased(broker, clock)


async def leased(broker: Store, clock: FakeClock) -> tuple[Store, Recoverer, Lease]:
    await broker.enqueue([entry("a")])
    [lease] = await broker.dequeue(["default"], 1, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], cast("Runner", Bystander()), lease=30.0, random=Random(0))
    clock.advance(30)
    return broker, recoverer, lease


async def state(broker: Store) -> TaskState:
    [info] = await broker.find([TaskRef("default", "a")])
    assert info is not None
    return info.state


async def test_a_lease_is_revoked_after_two_looks_found_it_lapsed(clock: FakeClock) -> None:
    broker, recoverer, _ = await abandoned(clock)
    assert CONFIRMATION < await recoverer.once() < CONFIRMATION + 0.1
    assert await state(broker) is TaskState.ACTIVE
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_a_holder_that_renews_in_between_keeps_its_lease(clock: FakeClock) -> None:
    broker, recoverer, lease = await abandoned(clock)
    await recoverer.once()
    assert await broker.renew([lease], 30.0) == [True]
    clock.advance(CONFIRMATION)
    assert await recoverer.once() > 1
    clock.advance(30 - CONFIRMATION)
    await recoverer.once()  # lapsed again, and seen so for the first time
    assert await state(broker) is TaskState.ACTIVE


async def test_after_a_clock_change_no_lease_is_revoked_for_its_length(clock: FakeClock) -> None:
    broker = open_broker("memory://", clock=clock)
    await broker.enqueue([entry("a")])
    [_] = await broker.dequeue(["default"], 1, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], cast("Runner", Bystander()), lease=30.0, random=Random(0))
    clock.jump(3_600)
    for _ in range(10):
        await recoverer.once()
        clock.advance(2.9)
    assert await state(broker) is TaskState.ACTIVE
    clock.advance(2)
    await recoverer.once()
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_after_an_outage_all_servers_get_time_to_reconnect(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    broker, recoverer, _ = await leased(flaky.broker, clock)
    flaky.fail(1, "expired")
    with pytest.raises(BrokerUnavailable):
        await recoverer.once()
    for _ in range(10):
        await recoverer.once()
        clock.advance(RETURN_GRACE / 10)
    assert await state(broker) is TaskState.ACTIVE
    await recoverer.once()
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_a_call_that_waited_for_the_end_of_the_outage_gives_them_time_too(clock: FakeClock) -> None:
    broker, recoverer, _ = await leased(Slow(clock).broker, clock)
    await recoverer.once()
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.ACTIVE


async def test_a_store_that_is_always_slow_is_not_unavailable(clock: FakeClock) -> None:
    broker, recoverer, _ = await leased(Slow(clock).broker, clock)
    for _ in range(12):
        await recoverer.once()
    assert await state(broker) is TaskState.PENDING
