"""Settlements wait for their own queue only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Lease, Settlement, Succeeded
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.attempts.settler import BATCH_BYTES, Settler
from tests.builders import entry, settlement

#: Seconds until a test that waits in vain fails.
LIMIT = 10.0


class HalfUnavailable:
    """A store in which one queue is unavailable, as when a cluster has lost one master."""

    def __init__(self) -> None:
        self._store = open_broker("memory://")
        self.unavailable = "far"
        #: For each call, whether all of it could be done.
        self.calls = asyncio.Queue[bool]()
        self.sizes: list[int] = []

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        self.sizes.append(len(settlements))
        near = [one for one in settlements if one.lease.message.queue != self.unavailable]
        answers = await self._store.settle(near)
        self.calls.put_nowait(len(near) == len(settlements))
        if len(near) < len(settlements):
            raise BrokerUnavailable("its master is down")
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def leased(store: Store, *queues: str) -> list[Lease]:
    for number, queue in enumerate(queues):
        await store.enqueue([entry(f"{queue}-{number}", queue=queue)])
    return await store.dequeue([*dict.fromkeys(queues)], len(queues), 30.0, "server-1")


async def test_an_unavailable_queue_delays_no_other() -> None:
    half = HalfUnavailable()
    store = cast("Store", half)
    settler = Settler(store, high_water=1_000)
    settler.start()
    far, also_far, near, also_near = await leased(store, "far", "far", "near", "near")
    async with asyncio.timeout(LIMIT):
        settler.add(settlement(far))
        assert not await half.calls.get()
        settler.add(settlement(near))
        settler.add(settlement(also_far))
        settler.add(settlement(also_near))
        assert await half.calls.get()
        assert (await store.stats(["near"]))[0].active == 0
        assert settler.outstanding() == [far, also_far]

        half.unavailable = ""
        await settler.drain()

    assert settler.outstanding() == []
    assert settler.refused == 0
    assert [stats.active for stats in await store.stats(["far", "near"])] == [0, 0]
    await settler.stop(LIMIT)


async def test_settlements_that_cannot_be_stored_at_the_end_are_dropped() -> None:
    half = HalfUnavailable()
    settler = Settler(cast("Store", half), high_water=1_000)
    settler.start()
    [far] = await leased(cast("Store", half), "far")
    settler.add(settlement(far))
    await settler.stop(0.05)
    assert settler.outstanding() == [far]


async def test_a_call_carries_a_bounded_number_of_bytes() -> None:
    half = HalfUnavailable()
    store = cast("Store", half)
    settler = Settler(store, high_water=1_000)
    await store.enqueue([entry(f"t{number}", retention=60.0) for number in range(7)])
    leases = await store.dequeue(["default"], 7, 30.0, "server-1")
    results = [*[BATCH_BYTES // 3] * 4, 2 * BATCH_BYTES, 2 * BATCH_BYTES, 1]
    for lease, size in zip(leases, results, strict=True):
        settler.add(settlement(lease, Succeeded(b"r" * size)))
    settler.start()
    async with asyncio.timeout(LIMIT):
        await settler.drain()
    assert half.sizes == [2, 2, 1, 1, 1]
    await settler.stop(LIMIT)
