"""Callers that dequeue on the same terms share a call; its leases are dealt in order, and none is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskState
from asynqio.errors import BrokerRefused
from asynqio.gateway.stores.coalescing import CoalescingStore
from asynqio.gateway.stores.shared_dequeues import MOST
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.conftest import broker_url, make_store
from tests.conformance.helpers import ids, put, take
from tests.gateway.stores.support import GatedBroker, steps


@pytest.fixture
async def broker(clock: FakeClock) -> GatedBroker:
    return GatedBroker(clock)


@pytest.fixture
async def store(broker: GatedBroker) -> AsyncIterator[CoalescingStore]:
    async with CoalescingStore(broker) as store:
        yield store


def fetch(store: CoalescingStore, limit: int = 1, owner: str = "gateway") -> asyncio.Task[list[Lease]]:
    return asyncio.create_task(store.dequeue(["high", "default"], limit, 30, owner))


def names(leases: list[Lease]) -> list[str]:
    return [lease.message.id for lease in leases]


async def test_leases_are_dealt_in_order_of_arrival(broker: GatedBroker, store: CoalescingStore) -> None:
    # Given a call in flight, and callers behind it
    await put(broker, *map(entry, "abcdef"), entry("h", queue="high"))
    broker.closed = {"default"}
    callers = [fetch(store, limit) for limit in (1, 2, 1, 4, 3)]
    await steps()
    await broker.open_gate()
    # Then they share the next call; those for whom nothing is left get nothing
    dealt = await asyncio.gather(*callers)
    assert list(map(names, dealt)) == [["h"], ["a", "b"], ["c"], ["d", "e", "f"], []]
    assert broker.calls == {"enqueue": [7], "dequeue": [1, 10]}


async def test_callers_with_other_terms_do_not_share(broker: GatedBroker, store: CoalescingStore) -> None:
    await put(broker, *map(entry, "ab"))
    broker.closed = {"default"}
    one, two = fetch(store, owner="one"), fetch(store, owner="two")
    await steps()
    assert broker.calls["dequeue"] == [1, 1]
    await broker.open_gate()
    assert list(map(names, await asyncio.gather(one, two))) == [["a"], ["b"]]


async def test_a_shared_call_has_a_limit(broker: GatedBroker, store: CoalescingStore) -> None:
    broker.closed = {"default"}
    callers = [fetch(store, limit) for limit in (1, MOST - 1, 1, 1, MOST + 5, 1)]
    await steps()
    await broker.open_gate()
    await asyncio.gather(*callers)
    assert broker.calls["dequeue"] == [1, MOST, 1, MOST + 5, 1]


async def test_an_error_reaches_the_callers_of_its_call(broker: GatedBroker, store: CoalescingStore) -> None:
    broker.closed = {"default"}
    callers = [fetch(store) for _ in range(3)]
    await steps()
    broker.refused = "high"
    callers[1].cancel()
    await broker.open_gate()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [BrokerRefused, asyncio.CancelledError, BrokerRefused]
    broker.refused = ""
    assert await take(store) == []


async def test_a_caller_that_is_cancelled_before_its_call_is_left_out(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    await put(broker, *map(entry, "abc"))
    broker.closed = {"default"}
    first, second, third = fetch(store), fetch(store), fetch(store)
    await steps()
    second.cancel()
    await broker.open_gate()
    assert list(map(names, await asyncio.gather(first, third))) == [["a"], ["b"]]
    assert broker.calls["dequeue"] == [1, 1]
    assert await ids(store, TaskState.PENDING) == ["c"]


async def test_leases_of_a_caller_that_is_cancelled_during_its_call_are_returned(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    # Given a shared call that has leased tasks for three callers
    await put(broker, *map(entry, "abcdefg"))
    broker.closed = {"default", "answer 5"}
    first, second, third, fourth = fetch(store), fetch(store, 2), fetch(store, 2), fetch(store)
    await steps()
    await broker.open_gate("default")
    await first
    await steps()
    assert await ids(store, TaskState.ACTIVE) == ["a", "b", "c", "d", "e", "f"]
    # When one of them is cancelled before the answer arrives
    second.cancel()
    await broker.open_gate()
    await asyncio.wait([second])
    # Then the others get the oldest tasks, and the rest is pending again, in order and as if never taken
    assert names(await third) == ["b", "c"]
    assert names(await fourth) == ["d"]
    await steps()
    assert await ids(store, TaskState.PENDING) == ["e", "f", "g"]
    assert await ids(store, TaskState.ACTIVE) == ["a", "b", "c", "d"]
    [stats] = await store.stats(["default"])
    assert (stats.processed, stats.failed, stats.retry) == (0, 0, 0)


async def test_leases_dealt_to_a_caller_that_is_cancelled_in_the_same_turn_are_returned(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    await put(broker, *map(entry, "abc"))
    broker.closed = {"default"}
    first, second = fetch(store), fetch(store, 2)
    await steps()
    [line] = store._dequeue._lines.get().values()
    [(_, dealt)] = line._waiting
    # When the caller is cancelled after its leases were dealt and before it runs
    await broker.open_gate()
    while not dealt.done():  # noqa: ASYNC110 — an event would be seen after the caller
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    assert second.cancelled()
    # Then they are pending again before its cancellation continues
    assert await ids(store, TaskState.PENDING) == ["b", "c"]
    assert names(await first) == ["a"]


async def test_leases_that_cannot_be_returned_are_logged(
    broker: GatedBroker, store: CoalescingStore, caplog: pytest.LogCaptureFixture
) -> None:
    await put(broker, *map(entry, "ab"))
    broker.closed = {"default", "answer 2"}
    first, second = fetch(store), fetch(store, 2)
    await steps()
    await broker.open_gate("default")
    await first
    await steps()
    broker.settles = False
    with caplog.at_level(logging.WARNING, "asynqio.gateway"):
        second.cancel()
        await broker.open_gate()
        await asyncio.wait([second])
        await store._dequeue.finish()
    [record] = [one for one in caplog.records if one.name == "asynqio.gateway"]
    assert record.__dict__["event"] == "leases_not_returned"
    assert record.__dict__["count"] == 1


@pytest.mark.parametrize("kind", ["memory", "redis"])
@pytest.mark.parametrize("seed", range(4))
async def test_no_task_is_lost_or_leased_twice_however_callers_are_cancelled(
    kind: str, seed: int, tmp_path: Path, clock: FakeClock
) -> None:
    chance = random.Random(seed)
    url = await asyncio.to_thread(broker_url, kind, tmp_path)
    inner = GatedBroker(clock) if kind == "memory" else make_store(kind, url, clock)
    async with CoalescingStore(inner) as store:
        tasks = [f"t{number:03}" for number in range(200)]
        await put(store, *map(entry, tasks))
        held: list[str] = []
        for _ in range(8):
            callers = [fetch(store, chance.randint(1, 4)) for _ in range(12)]
            await asyncio.sleep(0)
            for caller in chance.sample(callers, 5):
                for _ in range(chance.randint(0, 6)):
                    await asyncio.sleep(0)
                caller.cancel()
            for answer in await asyncio.gather(*callers, return_exceptions=True):
                held += names(answer) if isinstance(answer, list) else []
        await store._dequeue.finish()
        active, pending = await ids(store, TaskState.ACTIVE), await ids(store, TaskState.PENDING)
        assert sorted(active) == sorted(held), "an active task has a caller that knows it"
        assert sorted(active + pending) == tasks
