"""When an expired lease is recovered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, cast

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Expired
from asynqio.core.lifecycle import Lease, Outcome, Policy, Settlement, decide
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import BrokerRefused, BrokerUnavailable, CannotStore
from asynqio.runtime.events import Events
from asynqio.runtime.leases.recoverer import CONFIRMATION, Recoverer
from asynqio.runtime.leases.witness import RETURN_GRACE
from asynqio.testing import FakeClock, Flaky
from tests.builders import entry


class Bystander:
    """A server that runs nothing itself."""

    def __init__(self) -> None:
        self.events = Events()
        #: Ids of the tasks whose hooks were called.
        self.failed: list[str] = []

    def is_running(self, lease: Lease) -> bool:
        return False

    async def run_hooks(self, outcome: Outcome, settlement: Settlement) -> None:
        self.failed.append(settlement.message.id)

    def decide(self, lease: Lease, outcome: Outcome) -> Settlement:
        return decide(lease, outcome, lease.expires_at, Policy())


class Slow:
    """A store that takes `seconds` to list expired leases."""

    def __init__(self, clock: FakeClock) -> None:
        self._store = open_broker("memory://", clock=clock)
        self._clock = clock
        self.seconds = 0.0

    @property
    def broker(self) -> Store:
        return cast("Store", self)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        self._clock.advance(self.seconds)
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
    recoverer = Recoverer(broker, ["default"], Bystander(), lease=30.0)
    # It looks once shortly before the lease lapses.
    seconds = await recoverer.once()
    assert 28.1 < seconds < 28.3
    clock.advance(seconds)
    await recoverer.once()
    clock.advance(30 - seconds)
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


async def test_a_holder_has_time_to_reconnect_after_the_first_write_that_the_store_accepts(
    clock: FakeClock,
) -> None:
    """This server was away as well, and returns first: no call of it was refused."""
    broker = open_broker("memory://", clock=clock)
    await broker.enqueue([entry("a")])
    [lease] = await broker.dequeue(["default"], 1, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], Bystander(), lease=30.0)
    clock.advance(30)
    for _ in range(4):
        await recoverer.once()
        clock.advance(CONFIRMATION)
    # A connection is tried again within a second, and a renewal within another.
    assert await broker.renew([lease], 30.0) == [True]
    assert await state(broker) is TaskState.ACTIVE


async def test_after_a_clock_change_no_lease_is_revoked_for_its_length(clock: FakeClock) -> None:
    broker = open_broker("memory://", clock=clock)
    await broker.enqueue([entry("a")])
    [_] = await broker.dequeue(["default"], 1, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], Bystander(), lease=30.0)
    clock.jump(3_600)
    for _ in range(13):
        await recoverer.once()
        clock.advance(2.4)
    assert await state(broker) is TaskState.ACTIVE
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


async def test_other_queues_do_not_change_what_is_known_of_leases_and_of_the_store(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    broker, recoverer, _ = await leased(flaky.broker, clock)
    flaky.fail(1, "expired")
    with pytest.raises(BrokerUnavailable):
        await recoverer.once()
    # Queues come all the time: neither is the time to reconnect cut short, nor does it begin again
    for number in range(10):
        recoverer.serve(["default", f"new-{number}"])
        await recoverer.once()
        clock.advance(RETURN_GRACE / 10)
    assert await state(broker) is TaskState.ACTIVE
    for number in range(2):
        recoverer.serve(["default", f"newer-{number}"])
        await recoverer.once()
        clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_other_queues_are_looked_at_at_once() -> None:
    recoverer = Recoverer(open_broker("memory://"), ["default"], Bystander(), lease=30.0)
    async with asyncio.timeout(20):
        resting = asyncio.ensure_future(recoverer.rest(1e6))
        await asyncio.sleep(0)
        recoverer.serve(["default", "new"])
        await resting
        await recoverer.once()
        resting = asyncio.ensure_future(recoverer.rest(1e6))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not resting.done()
        resting.cancel()


async def test_a_call_that_waited_for_the_end_of_the_outage_gives_them_time_too(clock: FakeClock) -> None:
    slow = Slow(clock)
    broker, recoverer, _ = await leased(slow.broker, clock)
    slow.seconds = 1.0
    await recoverer.once()
    clock.advance(CONFIRMATION)
    await recoverer.once()
    assert await state(broker) is TaskState.ACTIVE


async def test_a_store_that_is_always_slow_is_not_unavailable(clock: FakeClock) -> None:
    slow = Slow(clock)
    broker, recoverer, _ = await leased(slow.broker, clock)
    slow.seconds = 1.0
    for _ in range(12):
        await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_no_lease_is_revoked_while_writes_are_refused(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    broker, recoverer, lease = await leased(flaky.broker, clock)
    # Reads work all the time.
    flaky.fail(math.inf, "accepts_writes", "renew", "settle")
    for _ in range(100):
        await recoverer.once()
        clock.advance(CONFIRMATION)
    flaky.recover()
    for _ in range(9):
        await recoverer.once()
        clock.advance(RETURN_GRACE / 10)
    assert await state(broker) is TaskState.ACTIVE
    assert await broker.renew([lease], 30.0) == [True]
    clock.advance(RETURN_GRACE)
    await recoverer.once()
    assert await state(broker) is TaskState.ACTIVE


async def test_a_refused_recovery_is_repeated_after_a_grace(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    broker, recoverer, _ = await leased(flaky.broker, clock)
    await recoverer.once()
    clock.advance(CONFIRMATION)
    flaky.fail(1, "settle")
    with pytest.raises(BrokerUnavailable):
        await recoverer.once()
    for _ in range(9):
        await recoverer.once()
        clock.advance(RETURN_GRACE / 10)
        assert await state(broker) is TaskState.ACTIVE
    for _ in range(3):
        clock.advance(CONFIRMATION)
        await recoverer.once()
    assert await state(broker) is TaskState.PENDING


async def test_a_settlement_that_waits_here_is_not_taken_for_abandoned(clock: FakeClock) -> None:
    broker = open_broker("memory://", clock=clock)
    await broker.enqueue([entry("a")])
    [lease] = await broker.dequeue(["default"], 1, 30.0, "this server")
    waiting = [lease]
    recoverer = Recoverer(
        broker,
        ["default"],
        Bystander(),
        lease=30.0,
        outstanding=lambda: waiting,
    )
    clock.advance(31)
    for _ in range(10):
        await recoverer.once()
        clock.advance(CONFIRMATION)
    assert await state(broker) is TaskState.ACTIVE
    waiting.clear()
    for _ in range(6):
        await recoverer.once()
        clock.advance(CONFIRMATION)
    assert await state(broker) is TaskState.PENDING


class Picky(Flaky):
    """A store that cannot settle the task "bad"."""

    error: Exception = BrokerRefused("no permission")

    async def _call(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "settle" and any(
            one.lease.message.id == "bad" and "cannot be stored" not in one.message.last_error
            for one in args[0]
        ):
            raise self.error
        return await super()._call(name, method, *args, **kwargs)


@pytest.mark.parametrize("error", [BrokerRefused("no permission"), CannotStore("too large")])
async def test_a_task_that_cannot_be_recovered_does_not_stop_the_others(
    clock: FakeClock, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    picky = Picky(open_broker("memory://", clock=clock))
    picky.error = error
    broker = picky.broker
    await broker.enqueue([entry("a"), entry("bad"), *(entry(f"b{number}") for number in range(20))])
    await broker.dequeue(["default"], 22, 30.0, "another server")
    recoverer = Recoverer(broker, ["default"], Bystander(), lease=30.0)
    clock.advance(30)
    for _ in range(6):
        await recoverer.once()
        clock.advance(CONFIRMATION)
    await recoverer.close()
    [stats] = await broker.stats(["default"])
    assert stats.pending == 21
    reports = [one for one in caplog.records if getattr(one, "event", "") == "recovery_failed"]
    if isinstance(error, CannotStore):
        [info] = await broker.find([TaskRef("default", "bad")])
        assert info is not None
        assert info.state is TaskState.ARCHIVED
        assert "too large" in info.last_error
        assert reports == []
    else:
        assert stats.active == 1
        assert len(reports) == 1  # once per RETRY_AFTER
