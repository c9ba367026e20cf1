"""Concurrent callers share calls of the store, and do not affect each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers.contract.results import Admission
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import BrokerRefused
from asynqio.gateway.stores.coalescing import SMALL_PAYLOADS, CoalescingStore
from asynqio.gateway.stores.shared_calls import KEPT, MOST, SMALL, in_pieces
from asynqio.testing import FakeClock
from tests.builders import entry, settlement
from tests.conformance.conftest import broker_url, make_store
from tests.conformance.helpers import ids, put, take
from tests.gateway.stores.support import GatedBroker, steps

CALLERS = 50


@pytest.fixture
async def broker(clock: FakeClock) -> GatedBroker:
    return GatedBroker(clock)


@pytest.fixture
async def store(broker: GatedBroker) -> AsyncIterator[CoalescingStore]:
    async with CoalescingStore(broker) as store:
        yield store


async def test_fifty_callers_make_few_calls(
    broker: GatedBroker, store: CoalescingStore, clock: FakeClock
) -> None:
    # Given fifty callers that each enqueue, find, dequeue, renew and settle one task at the same time
    names = [f"t{number:02}" for number in range(CALLERS)]

    async def enqueue(id: str) -> None:
        assert await store.enqueue([entry(id)]) == [Admission.ACCEPTED]

    async def find(id: str) -> None:
        [info] = await store.find([TaskRef("default", id)])
        assert info is not None
        assert info.id == id

    async def work(_: str) -> str:
        [lease] = await store.dequeue(["default"], 1, 30, "gateway")
        assert await store.renew([lease], 60) == [True]
        assert lease.expires_at == clock.now() + 60
        assert await store.settle([settlement(lease, now=clock.now())]) == [True]
        return lease.message.id

    for call in (enqueue, find):
        broker.closed = {"default"}
        callers = [asyncio.create_task(call(id)) for id in names]
        await steps()
        await broker.open_gate()
        await asyncio.gather(*callers)
    broker.closed = {"default"}
    workers = [asyncio.create_task(work(id)) for id in names]
    await steps()
    await broker.open_gate()
    # Then each task was handled once, by a few calls of the broker
    assert sorted(await asyncio.gather(*workers)) == names
    assert broker.calls["enqueue"] == broker.calls["find"] == broker.calls["dequeue"] == [1, CALLERS - 1]
    assert sum(broker.calls["renew"]) == sum(broker.calls["settle"]) == CALLERS
    assert len(broker.calls["renew"]) + len(broker.calls["settle"]) <= 10
    assert (await store.stats(["default"]))[0].processed == CALLERS


async def test_a_single_caller_is_sent_at_once(broker: GatedBroker, store: CoalescingStore) -> None:
    for number in range(5):
        await store.enqueue([entry(f"t{number}")])
        assert await take(store)
    assert broker.calls == {"enqueue": [1] * 5, "dequeue": [1] * 5}


async def test_a_call_with_many_items_or_several_queues_is_sent_alone(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    broker.closed = {"default"}
    calls = [
        [entry("first")],
        [entry(f"m{number}") for number in range(SMALL + 1)],
        [entry("a"), entry("a", queue="other")],
        [entry("large", payload=b"x" * (SMALL_PAYLOADS + 1))],
        [],
        [entry("b")],
        [entry("c"), entry("d")],
    ]
    callers = [asyncio.create_task(store.enqueue(call)) for call in calls]
    await steps()
    assert broker.calls["enqueue"] == [1, SMALL + 1, 2, 1, 0]
    await broker.open_gate()
    assert [len(answer) for answer in await asyncio.gather(*callers)] == [len(call) for call in calls]
    assert broker.calls["enqueue"][5:] == [3]
    assert sorted(await ids(store, TaskState.PENDING))[:4] == ["a", "b", "c", "d"]


async def test_answers_belong_to_the_callers(broker: GatedBroker, store: CoalescingStore) -> None:
    await put(broker, entry("used"))
    broker.closed = {"default"}
    first = asyncio.create_task(store.enqueue([entry("x")]))
    await steps()
    one = asyncio.create_task(store.enqueue([entry("a"), entry("used"), entry("b")]))
    two = asyncio.create_task(store.enqueue([entry("used")]))
    await steps()
    await broker.open_gate()
    A, C = Admission.ACCEPTED, Admission.ID_CONFLICT
    assert list(await asyncio.gather(first, one, two)) == [[A], [A, C, A], [C]]


async def test_leases_renewed_for_different_times_do_not_share(
    broker: GatedBroker, store: CoalescingStore, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "abc"))
    leases = await take(broker, 3)
    broker.closed = {"default"}
    callers = [
        asyncio.create_task(store.renew([lease], 100.0 * at)) for at, lease in enumerate(leases, start=1)
    ]
    await steps()
    await broker.open_gate()
    assert await asyncio.gather(*callers) == [[True]] * 3
    assert [lease.expires_at - clock.now() for lease in leases] == [100, 200, 300]


async def test_a_queue_that_answers_slowly_delays_only_its_callers(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    broker.closed = {"slow"}
    slow = [asyncio.create_task(store.enqueue([entry(f"s{at}", queue="slow")])) for at in range(3)]
    await steps()
    for at in range(3):
        await store.enqueue([entry(f"t{at}")])
    assert not any(caller.done() for caller in slow)
    await broker.open_gate()
    await asyncio.gather(*slow)


async def test_a_refused_queue_fails_only_its_callers(broker: GatedBroker, store: CoalescingStore) -> None:
    broker.refused = "forbidden"
    broker.closed = {"default", "forbidden"}
    good = [asyncio.create_task(store.enqueue([entry(f"t{at}")])) for at in range(5)]
    bad = [asyncio.create_task(store.enqueue([entry(f"t{at}", queue="forbidden")])) for at in range(5)]
    mixed = asyncio.create_task(store.enqueue([entry("m"), entry("m", queue="forbidden")]))
    await steps()
    await broker.open_gate()
    assert await asyncio.gather(*good) == [[Admission.ACCEPTED]] * 5
    refusals = await asyncio.gather(*bad, mixed, return_exceptions=True)
    assert [type(refusal) for refusal in refusals] == [BrokerRefused] * 6


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_an_entry_that_cannot_be_encoded_fails_only_its_caller(
    kind: str, tmp_path: Path, clock: FakeClock
) -> None:
    url = await asyncio.to_thread(broker_url, kind, tmp_path)
    async with CoalescingStore(make_store(kind, url, clock)) as store:
        await store.enqueue([entry("first")])
        poison = entry("bad", type="half a character: \ud800")
        calls = [[entry(f"t{at:02}")] if at % 10 != 5 else [entry(f"g{at}"), poison] for at in range(40)]
        answers = await asyncio.gather(*map(store.enqueue, calls), return_exceptions=True)
        for call, answer in zip(calls, answers, strict=True):
            if poison in call:
                assert isinstance(answer, Exception)
            else:
                assert answer == [Admission.ACCEPTED]
        # Each good entry was accepted once, and nothing of the calls that failed was stored.
        found = await ids(store, TaskState.PENDING)
        assert sorted(found) == sorted(["first", *(f"t{at:02}" for at in range(40) if at % 10 != 5)])


async def test_a_cancelled_caller_withdraws_and_does_not_stop_the_others(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    broker.closed = {"default"}
    callers = [asyncio.create_task(store.enqueue([entry(id)])) for id in "abcd"]
    await steps()
    callers[0].cancel()  # its call is in flight, alone
    callers[2].cancel()  # it waits
    await steps()
    await broker.open_gate()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        list,
        asyncio.CancelledError,
        list,
    ]
    assert sorted(await ids(store, TaskState.PENDING)) == ["b", "d"]


async def test_calls_from_other_queues_and_terms_leave_nothing_behind(
    broker: GatedBroker, store: CoalescingStore
) -> None:
    for number in range(KEPT + 10):
        await store.find([TaskRef(f"q{number}", "a")])
        await store.dequeue([f"q{number}"], 1, 30, "gateway")
    assert len(store._find._batchers.get()) <= KEPT
    assert len(store._dequeue._lines.get()) <= KEPT


async def test_a_clone_shares_its_own_calls(store: CoalescingStore) -> None:
    async with store.clone() as other:
        await put(store, entry("a"))
        assert isinstance(other, CoalescingStore)
        assert await ids(other, TaskState.PENDING) == ["a"]


def test_a_shared_call_is_split_into_pieces_that_a_broker_applies_in_one_step() -> None:
    callers = [list(range(size % SMALL + 1)) for size in range(100)]
    pieces = in_pieces(callers)
    assert [items for piece in pieces for items in piece] == callers
    assert max(sum(map(len, piece)) for piece in pieces) <= MOST
    assert len(pieces) <= sum(map(len, callers)) // (MOST - SMALL) + 1
    assert in_pieces([[1], [2]]) == [[[1], [2]]]
