"""Settlements that the broker did not accept: what waits, what is replaced, and that nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    CannotStore,
    ConfigError,
    StorageFull,
)
from asynqio.runtime.attempts.settler import Settler
from tests.builders import entry, failed, settlement

#: Seconds until a test that waits in vain fails.
LIMIT = 10.0


class Gated:
    """A store whose calls of `settle` wait for a verdict: None to settle, or an error to raise."""

    def __init__(self) -> None:
        self._store = open_broker("memory://")
        #: The ids of each call that waits for its verdict.
        self.calls = asyncio.Queue[list[str]]()
        self.verdicts = asyncio.Queue[Exception | None]()
        #: The ids in the order in which they were settled.
        self.settled: list[str] = []

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        ids = [one.lease.message.id for one in settlements]
        self.calls.put_nowait(ids)
        verdict = await self.verdicts.get()
        if verdict is not None:
            raise verdict
        self.settled += ids
        return await self._store.settle(settlements)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Picky:
    """A store that raises `error` when a call contains a task of which `rejects` is true."""

    def __init__(self, error: Exception, *rejected: str) -> None:
        self._store = open_broker("memory://")
        self.error = error
        self.rejected = set(rejected)
        self.calls = 0

    def rejects(self, one: Settlement) -> bool:
        return one.lease.message.id in self.rejected

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        self.calls += 1
        if any(map(self.rejects, settlements)):
            raise self.error
        return await self._store.settle(settlements)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class RejectsResults(Picky):
    """A store that can store no result."""

    def rejects(self, one: Settlement) -> bool:
        return super().rejects(one) and one.to is not TaskState.ARCHIVED


async def leased(store: Store, *ids: str, queue: str = "default", **fields: Any) -> list[Lease]:
    await store.enqueue([entry(id, queue=queue, **fields) for id in ids])
    return await store.dequeue([queue], len(ids), 30.0, "server-1")


async def joined(settler: Settler, count: int) -> None:
    """Wait until `count` settlements are in the backlog of the queue."""
    while len(settler._backlogs["default", False]) < count:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0)


async def test_settlements_added_during_a_retry_survive_it() -> None:
    gated = Gated()
    store = cast("Store", gated)
    settler = Settler(store, high_water=1_000)
    settler.start()
    a, b, c, d = await leased(store, "a", "b", "c", "d")
    async with asyncio.timeout(LIMIT):
        settler.add(settlement(a))
        assert await gated.calls.get() == ["a"]
        gated.verdicts.put_nowait(BrokerUnavailable("away"))
        # The retry of a is under way while others end.
        assert await gated.calls.get() == ["a"]
        settler.add(settlement(b))
        settler.add(settlement(c))
        drained = asyncio.create_task(settler.drain())
        await joined(settler, 3)
        assert settler.outstanding() == [a, b, c]
        gated.verdicts.put_nowait(None)
        # The others are settled by the next call; one more ends meanwhile, and that call fails.
        assert await gated.calls.get() == ["b", "c"]
        settler.add(settlement(d))
        await joined(settler, 3)
        assert settler.outstanding() == [b, c, d]
        assert not drained.done()
        gated.verdicts.put_nowait(BrokerUnavailable("away again"))
        assert await gated.calls.get() == ["b", "c", "d"]
        assert not drained.done()
        gated.verdicts.put_nowait(None)
        await drained
    assert gated.settled == ["a", "b", "c", "d"]
    assert settler.outstanding() == []
    assert settler.refused == 0
    await settler.stop(LIMIT)


async def test_the_last_flush_waits_for_settlements_added_during_a_retry() -> None:
    gated = Gated()
    store = cast("Store", gated)
    settler = Settler(store, high_water=1_000)
    settler.start()
    a, b = await leased(store, "a", "b")
    async with asyncio.timeout(LIMIT):
        settler.add(settlement(a))
        await gated.calls.get()
        gated.verdicts.put_nowait(BrokerUnavailable("away"))
        await gated.calls.get()
        settler.add(settlement(b))
        stopping = asyncio.create_task(settler.stop(LIMIT))
        gated.verdicts.put_nowait(None)
        assert await gated.calls.get() == ["b"]
        assert not stopping.done()
        gated.verdicts.put_nowait(None)
        await stopping
    assert gated.settled == ["a", "b"]
    assert settler.outstanding() == []


REFUSALS = [
    BrokerRefused("NOPERM"),
    BrokerError("a quota"),
    ConfigError(["read-only"]),
    StorageFull("full"),
    RuntimeError("a bug"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
async def test_a_refused_settlement_is_kept_and_delays_no_other(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"t{number}" for number in range(100)]
    picky = Picky(error, "t7", "t70")
    store = cast("Store", picky)
    settler = Settler(store, high_water=1_000)
    settler.start()
    leases = await leased(store, *ids, "later")
    async with asyncio.timeout(LIMIT):
        for held in leases[:-1]:
            settler.add(settlement(held))
        await settler.drain()
        kept = [held for held in leases if held.message.id in picky.rejected]
        assert settler.outstanding() == kept
        calls = picky.calls
        assert calls < 40
        # Later ones of the queue are settled at once.
        settler.add(settlement(leases[-1]))
        await settler.drain()
        assert settler.outstanding() == kept
        picky.rejected.clear()
        await settler.stop(LIMIT)
    assert settler.outstanding() == []
    assert settler.refused == 0
    assert (await store.stats(["default"]))[0].size == 0
    [record] = [one for one in caplog.records if getattr(one, "event", "") == "settlements_kept"]
    assert str(error) in record.getMessage()


async def test_a_store_that_refuses_everything_gets_few_calls() -> None:
    ids = [f"t{number}" for number in range(500)]
    picky = Picky(BrokerRefused("WRONGPASS"), *ids)
    store = cast("Store", picky)
    settler = Settler(store, high_water=1_000)
    settler.start()
    leases = await leased(store, *ids)
    async with asyncio.timeout(LIMIT):
        for held in leases:
            settler.add(settlement(held))
        await settler.drain()
        assert picky.calls < 40
        assert {id(held) for held in settler.outstanding()} == {id(held) for held in leases}
        picky.rejected.clear()
        await settler.stop(LIMIT)
    assert (await store.stats(["default"]))[0].size == 0


@pytest.mark.parametrize(
    "error", [CannotStore("too large"), OverflowError("cannot convert float infinity to integer")]
)
async def test_what_can_never_be_stored_ends_the_task_once_with_the_reason(error: Exception) -> None:
    picky = RejectsResults(error, "large", "failed")
    store = cast("Store", picky)
    settler = Settler(store, high_water=1_000)
    settler.start()
    leases = await leased(store, "a", "large", "b", "failed", retention=60.0)
    now = store.clock.now()
    async with asyncio.timeout(LIMIT):
        for held in leases[:-1]:
            settler.add(settlement(held, now=now))
        settler.add(failed(leases[-1], now))
        await settler.drain()
    assert settler.outstanding() == []
    found = await store.find([TaskRef("default", id) for id in ("a", "large", "b", "failed")])
    states = [info and info.state for info in found]
    assert states == [TaskState.COMPLETED, TaskState.ARCHIVED, TaskState.COMPLETED, TaskState.ARCHIVED]
    assert found[1] is not None
    assert found[3] is not None
    assert str(error) in found[1].last_error
    assert found[3].last_error.startswith("ValueError: no; ")
    assert str(error) in found[3].last_error
    assert found[3].crashes == 0
    [runs] = await store.attempts([TaskRef("default", "large")])
    assert [run.error for run in runs] == [found[1].last_error]
    await settler.stop(LIMIT)


async def test_a_task_whose_end_cannot_be_stored_at_all_is_kept() -> None:
    picky = Picky(CannotStore("never"), "a")
    store = cast("Store", picky)
    settler = Settler(store, high_water=1_000)
    settler.start()
    [held] = await leased(store, "a")
    async with asyncio.timeout(LIMIT):
        settler.add(settlement(held))
        await settler.drain()
        assert settler.outstanding() == [held]
        picky.rejected.clear()
        await settler.stop(LIMIT)
    [info] = await store.find([TaskRef("default", "a")])
    assert info is not None
    assert info.state is TaskState.ARCHIVED
    assert "never" in info.last_error
