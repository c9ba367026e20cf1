"""A lease lost to the other side has no effect, and a valid lease is respected.

The asynqio broker and Go's code use one database and one test clock, so that tests do not wait.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asynqio import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Output
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import abandoned, entry, settlement
from tests.interop.conftest import Go
from tests.interop.support.peers import GoRdb
from tests.interop.support.process import PeerError

Q = ["default"]
REF = TaskRef("default", "a")
#: Small messages are compared completely, of large ones the end.
PAYLOADS = [b"x", b"x" * 5_000]


@pytest.fixture
def clock() -> FakeClock:
    """Whole seconds near the real time: Redis expires counters by its own clock."""
    return FakeClock(float(int(time.time())))


@pytest.fixture
async def broker(go: Go, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_broker(go.url, clock=clock) as store:
        yield store


@pytest.fixture
async def rdb(go: Go) -> AsyncIterator[GoRdb]:
    async with go.rdb() as peer:
        yield peer


async def take(broker: Store, payload: bytes = b"x", **fields: Any) -> Lease:
    """A task leased to the asynqio server s1."""
    await broker.enqueue([entry("a", payload=payload, timeout=60.0, max_retry=25, **fields)])
    [lease] = await broker.dequeue(Q, 1, 30.0, "s1")
    return lease


async def go_recovers(rdb: GoRdb, clock: FakeClock) -> dict[str, Any]:
    """Go recovers the expired lease and retries the task at once; then it is pending."""
    [message] = await rdb.do("expired", now=clock.now(), queues=Q, at=clock.now() - 30)
    error = "asynq: task lease expired"
    await rdb.do("retry", now=clock.now(), message=message, at=clock.now(), error=error, is_failure=True)
    await rdb.do("forward", now=clock.now(), queues=Q)
    found: dict[str, Any] = message
    return found


async def go_takes(rdb: GoRdb, clock: FakeClock) -> dict[str, Any]:
    taken: dict[str, Any] = await rdb.do("dequeue", now=clock.now(), queues=Q)
    return taken


async def state(broker: Store) -> TaskState | None:
    [info] = await broker.find([REF])
    return info.state if info else None


async def refuses(broker: Store, late: Lease) -> None:
    """Check that no operation with a lost lease has an effect."""
    before = await broker.find([REF])
    assert await broker.settle([settlement(late)]) == [False]
    assert await broker.write_output([Output(late, result=b"late")]) == [False]
    assert await broker.renew([late], 30.0) == [False]
    assert await broker.find([REF]) == before


@pytest.mark.parametrize("payload", PAYLOADS, ids=["small", "large"])
async def test_b27_go_recovered_a_task_of_asynqio_and_runs_it(
    broker: Store, rdb: GoRdb, clock: FakeClock, payload: bytes
) -> None:
    late = await take(broker, payload)
    clock.advance(61)
    await go_recovers(rdb, clock)
    await refuses(broker, late)
    taken = await go_takes(rdb, clock)
    assert taken["message"]["retried"] == 1
    await refuses(broker, late)
    await rdb.do("done", now=clock.now(), message=taken["message"])
    await refuses(broker, late)
    assert await state(broker) is None
    [stats] = await broker.stats(Q)
    assert (stats.processed, stats.failed) == (2, 1)


@pytest.mark.parametrize("payload", PAYLOADS, ids=["small", "large"])
async def test_b27_go_recovered_a_task_of_asynqio_and_completed_it(
    broker: Store, rdb: GoRdb, clock: FakeClock, payload: bytes
) -> None:
    late = await take(broker, payload, retention=600.0)
    clock.advance(61)
    await go_recovers(rdb, clock)
    taken = await go_takes(rdb, clock)
    await rdb.do("complete", now=clock.now(), message=taken["message"])
    await refuses(broker, late)
    assert await state(broker) is TaskState.COMPLETED


async def test_the_keeper_does_not_renew_a_task_that_go_recovered(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    """A renewal by owner must not renew a task that Go holds now: the death of that Go server would go undetected."""
    await take(broker)
    clock.advance(61)
    await go_recovers(rdb, clock)
    await go_takes(rdb, clock)
    assert await broker.renew_owner("s1", 30.0) == 0


async def test_a_deleted_and_recreated_task_is_a_different_task(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    late = await take(broker)
    clock.advance(61)
    message = await go_recovers(rdb, clock)
    assert await broker.move(Action.DELETE, [REF]) == [Moved.DONE]
    await rdb.do("enqueue", now=clock.now(), message=message)
    await go_takes(rdb, clock)
    await refuses(broker, late)
    assert await state(broker) is TaskState.ACTIVE


async def test_a_go_server_has_half_a_minute_after_expiry(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    await broker.enqueue([entry("a", timeout=60.0)])
    await go_takes(rdb, clock)
    clock.advance(59)
    assert not (await broker.expired(Q, 10)).leases
    clock.advance(1)
    [lease] = (await broker.expired(Q, 10)).leases
    assert lease.message.id == "a"


async def test_a_go_server_that_recovered_a_task_of_asynqio_has_it_too(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    """The token of asynqio is still stored, but the lease belongs to Go."""
    await take(broker)
    clock.advance(61)
    await go_recovers(rdb, clock)
    await go_takes(rdb, clock)
    clock.advance(59)
    assert not (await broker.expired(Q, 10)).leases
    clock.advance(1)
    [lease] = (await broker.expired(Q, 10)).leases
    assert await broker.settle([abandoned(lease, clock.now())]) == [True]
    assert await state(broker) is TaskState.PENDING


async def test_asynqio_recovered_a_task_of_go_and_go_settles_late(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    """Go has no fence: its late settlement ends the running attempt. asynqio detects it and counts nothing twice."""
    await broker.enqueue([entry("a", timeout=60.0)])
    late = await go_takes(rdb, clock)
    clock.advance(61)
    [lost] = (await broker.expired(Q, 10)).leases
    assert await broker.settle([abandoned(lost, clock.now())]) == [True]
    with pytest.raises(PeerError, match="NOT FOUND"):
        await rdb.do("done", now=clock.now(), message=late["message"])
    [mine] = await broker.dequeue(Q, 1, 30.0, "s1")
    await rdb.do("done", now=clock.now(), message=late["message"])
    await refuses(broker, mine)
    assert await state(broker) is None
    [stats] = await broker.stats(Q)
    assert (stats.processed, stats.failed, stats.active) == (2, 1, 0)


async def test_go_dequeues_tasks_that_asynqio_retried_or_handed_back(
    broker: Store, rdb: GoRdb, clock: FakeClock
) -> None:
    """Additional fields of asynqio do not affect Go."""
    lease = await take(broker, retention=600.0)
    clock.advance(31)
    [lost] = (await broker.expired(Q, 10)).leases
    assert await broker.settle([abandoned(lost, clock.now())]) == [True]
    taken = await go_takes(rdb, clock)
    assert (taken["message"]["id"], taken["message"]["retried"]) == ("a", 1)
    await refuses(broker, lease)
    await rdb.do("requeue", now=clock.now(), message=taken["message"])
    [again] = await broker.dequeue(Q, 1, 30.0, "s2")
    assert again.message.crashes == 1
    assert await broker.settle([settlement(again, now=clock.now())]) == [True]
    task = await rdb.do("task", now=clock.now(), queue="default", id="a")
    assert (task["state"], task["message"]["retried"]) == ("completed", 1)
