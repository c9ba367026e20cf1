"""When a lease counts as lapsed."""

from __future__ import annotations

from random import Random
from typing import cast

from asynqio.brokers import open_broker
from asynqio.brokers.base import Store
from asynqio.core.lifecycle import Lease, Policy
from asynqio.core.message import TaskMessage, TaskRef, TaskState
from asynqio.runtime.recoverer import CONFIRMATION, Recoverer
from asynqio.runtime.runner import Runner
from asynqio.testing import FakeClock
from tests.builders import entry


class Bystander:
    """A server that runs nothing itself."""

    def is_running(self, lease: Lease) -> bool:
        return False

    def policy_of(self, message: TaskMessage) -> Policy:
        return Policy()


async def abandoned(clock: FakeClock) -> tuple[Store, Recoverer, Lease]:
    """A task whose lease of 30 s has just lapsed, and somebody who looks."""
    broker = open_broker("memory://", clock=clock)
    await broker.enqueue([entry("a")])
    [lease] = await broker.dequeue(["default"], 1, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], cast("Runner", Bystander()), lease=30.0, random=Random(0))
    clock.advance(30)
    return broker, recoverer, lease


async def state(broker: Store) -> TaskState:
    [info] = await broker.find([TaskRef("default", "a")])
    assert info is not None
    return info.state


async def test_a_lease_is_taken_away_when_it_was_seen_lapsed_twice(clock: FakeClock) -> None:
    broker, recoverer, _ = await abandoned(clock)
    assert CONFIRMATION < await recoverer.once() < CONFIRMATION + 0.1
    assert await state(broker) is TaskState.ACTIVE
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_a_holder_that_renews_in_between_keeps_it(clock: FakeClock) -> None:
    broker, recoverer, lease = await abandoned(clock)
    await recoverer.once()
    assert await broker.renew([lease], 30.0) == [True]
    clock.advance(CONFIRMATION)
    assert await recoverer.once() > 1
    clock.advance(30 - CONFIRMATION)
    await recoverer.once()  # lapsed again, and seen so for the first time
    assert await state(broker) is TaskState.ACTIVE


async def test_after_the_clock_was_set_no_lease_is_judged_for_its_length(clock: FakeClock) -> None:
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
