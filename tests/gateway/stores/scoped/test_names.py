"""The names of a tenant on the way in and on the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.core.access.actions import Action
from asynqio.core.access.grants import FULL_ACCESS, Access, Grant
from asynqio.core.access.scope import Scope
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupRule
from asynqio.core.info import ScheduleInfo, SchedulerInfo, ServerInfo, WorkerInfo
from asynqio.core.lifecycle import Settlement
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskRef
from asynqio.core.task.unique import unique_key
from asynqio.errors import BrokerUnavailable, InvalidTask, QueueNotFound, WrongState
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.testing import FakeClock
from tests.builders import entry, server_info, settlement
from tests.conformance.helpers import get_task, put, take


@pytest.fixture
async def whole(clock: FakeClock) -> Store:
    return MemoryBroker(clock=clock)


@pytest.fixture
async def store(whole: Store) -> Store:
    return ScopedStore(whole, Scope("t1"), FULL_ACCESS)


def reading(whole: Store, *queues: str, actions: frozenset[Action] = frozenset(Action)) -> Store:
    return ScopedStore(whole, Scope("t1"), Access([Grant(actions, queues)]))


# --- tasks ----------------------------------------------------------------------------------------


async def test_tasks_are_stored_with_the_prefix_and_shown_without(whole: Store, store: Store) -> None:
    mine = entry("a", unique=60.0)
    await put(store, mine)
    assert await store.queues() == ["default"]
    assert await whole.queues() == ["t1:default"]
    shown, stored = await get_task(store, "a"), await get_task(whole, "a", "t1:default")
    assert shown.unique_key == mine.message.unique_key
    assert stored.unique_key == unique_key("t1:default", mine.message.type, mine.message.payload)
    assert (await store.stats(["default"]))[0].queue == "default"
    assert (await store.history("default", 1))[0].queue == "default"
    assert await store.lock_holder("default", shown.unique_key) == await whole.lock_holder(
        "t1:default", stored.unique_key
    )
    [lease] = await take(store)
    assert lease.message.ref == TaskRef("default", "a")


async def test_only_queues_that_may_be_read_are_listed(whole: Store, store: Store) -> None:
    await put(store, entry("a", queue="mail"), entry("b", queue="bills"))
    assert await reading(whole, "mail*").queues() == ["mail"]


async def test_the_worker_of_an_attempt_is_shown_as_it_registered(whole: Store, store: Store) -> None:
    await put(store, entry("a", retention=60.0))
    [lease] = await take(store, owner="server-1")
    ref = TaskRef("default", "a")
    assert [record.worker for [record] in await store.attempts([ref])] == ["server-1"]
    assert [record.worker for [record] in await whole.attempts([TaskRef("t1:default", "a")])] == [
        "/t1:server-1"
    ]
    ended = settlement(lease, now=store.clock.now())
    await store.settle(
        [Settlement(lease, ended.to, ended.message, ended.at, record=AttemptRecord(worker="server-1"))]
    )
    assert [record.worker for [record] in await store.attempts([ref])] == ["server-1"]
    assert [record.worker for [record] in await whole.attempts([TaskRef("t1:default", "a")])] == [
        "/t1:server-1"
    ]


async def test_a_failed_settlement_tells_the_lease_that_it_was_sent(clock: FakeClock) -> None:
    class Unreachable(MemoryBroker):
        async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
            for one in settlements:  # as on Redis
                one.lease.unconfirmed = True
            raise BrokerUnavailable("the reply was lost")

    store = ScopedStore(Unreachable(clock=clock), Scope("t1"), FULL_ACCESS)
    await put(store, entry("a"))
    [lease] = await take(store)
    with pytest.raises(BrokerUnavailable):
        await store.settle([settlement(lease, now=clock.now())])
    assert lease.unconfirmed


async def test_a_batch_has_members_of_its_queue_only(whole: Store, store: Store) -> None:
    await put(store, entry("a", group="g"), entry("b", group="g"))
    [batch] = (await store.claim_groups(["default"], GroupRule(grace=0.0), 1)).batches
    assert [message.queue for message in batch.messages] == ["default"] * 2
    others = [entry("x", queue="low").message]
    bad = type(batch)(batch.queue, batch.group, batch.id, others, batch.expires_at)
    with pytest.raises(InvalidTask, match="members of other queues"):
        await store.return_batch(bad)
    assert await store.return_batch(batch)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.requirement("SEC-GW-6")
async def test_errors_have_the_names_of_the_tenant(store: Store) -> None:
    for queue in ("nowhere", "t1:nowhere"):
        with pytest.raises(QueueNotFound) as missing:
            await store.stats([queue])
        assert str(missing.value) == f"there is no queue {queue!r}"
        assert missing.value.queue == queue
    await put(store, entry("a"))
    await take(store)
    with pytest.raises(WrongState) as busy:
        await store.remove_queue("default")
    assert "'default'" in str(busy.value)
    assert "t1" not in str(busy.value)


# --- servers and schedulers -----------------------------------------------------------------------


def full(id: str, *queues: str) -> ServerInfo:
    workers = [WorkerInfo(queue, "a", "email:send", 1.0, payload=b"secret") for queue in queues]
    rules = {"g": GroupRule()}
    return server_info(
        id,
        queues=dict.fromkeys(queues, 1),
        workers=workers,
        processed=3,
        failed=2,
        types=["email:"],
        group_rules=rules,
    )


@pytest.mark.requirement("SEC-GW-6")
async def test_a_server_of_a_tenant_is_shown_to_that_tenant_only(whole: Store, store: Store) -> None:
    other = ScopedStore(whole, Scope("t1x"), FULL_ACCESS)
    await store.beat(full("host:1:x", "default", "low"), 60)
    await other.beat(full("host:1:x", "default"), 60)
    assert await store.servers() == [full("host:1:x", "default", "low")]
    assert await other.servers() == [full("host:1:x", "default")]
    assert {info.id for info in await whole.servers()} == {"/t1:host:1:x", "/t1x:host:1:x"}
    await other.leave(full("host:1:x"))
    assert await other.servers() == []
    assert await store.servers() == [full("host:1:x", "default", "low")]


@pytest.mark.requirement("SEC-GW-6")
async def test_a_server_of_the_operator_is_shown_with_the_queues_of_the_tenant(
    whole: Store, store: Store
) -> None:
    # Given servers beside the gateway: for the tenant, for several, for others, and on a host named like the tenant
    await whole.beat(full("host:1:own", "t1:default"), 60)
    await whole.beat(full("host:2:all", "t1:default", "t2:default"), 60)
    await whole.beat(full("host:3:other", "t2:default", "default"), 60)
    await whole.beat(full("t1:4:idle"), 60)
    # Then the tenant sees those that serve its queues, and nothing that others could have caused
    own, shared = await store.servers()
    assert own == full("host:1:own", "default")
    assert (shared.id, shared.queues, [one.queue for one in shared.workers]) == (
        "host:2:all",
        {"default": 1},
        ["default"],
    )
    assert (shared.processed, shared.failed, shared.types, shared.group_rules) == (0, 0, None, {})


async def test_servers_are_shown_with_the_queues_that_may_be_read(whole: Store, store: Store) -> None:
    await store.beat(full("one", "mail", "bills"), 60)
    await store.beat(full("two", "bills"), 60)
    [server] = await reading(whole, "mail").servers()
    assert (server.id, list(server.queues), [one.queue for one in server.workers]) == (
        "one",
        ["mail"],
        ["mail"],
    )
    assert server.workers[0].payload == b"secret"
    [server] = await reading(whole, "mail", actions=frozenset({Action.READ_SERVERS})).servers()
    assert server.workers[0].payload is None


SCHEDULE = ScheduleInfo(
    "report", "@daily", "UTC", "mail", "report", b"secret", ['Queue("mail")', "Timeout(1m30s)"]
)


@pytest.mark.requirement("SEC-GW-6")
async def test_schedulers_are_shown_with_the_schedules_of_the_tenant(whole: Store, store: Store) -> None:
    mine = SchedulerInfo("host:1:x", "host", 1, 0.0, [SCHEDULE])
    idle = SchedulerInfo("host:2:x", "host", 2, 0.0)
    await store.beat(mine, 60)
    await store.beat(idle, 60)
    foreign = [
        ScheduleInfo("report", "@daily", "", "t1:mail", "report"),
        ScheduleInfo("t1:report", "@daily", "", "t2:mail", "report"),
    ]
    served = ScheduleInfo(
        "t1:served", "@daily", "", "t1:mail", "report", options=['Queue("t2:mail")', "Queue("]
    )
    await whole.beat(SchedulerInfo("host:3:x", "host", 3, 0.0, [*foreign, served]), 60)
    await whole.beat(SchedulerInfo("host:4:x", "host", 4, 0.0, foreign), 60)
    await whole.beat(SchedulerInfo("t1:5:x", "host", 5, 0.0), 60)
    assert await store.schedulers() == [
        mine,
        idle,
        SchedulerInfo("host:3:x", "host", 3, 0.0, [ScheduleInfo("served", "@daily", "", "mail", "report")]),
    ]
    stored = next(info for info in await whole.schedulers() if info.id == "/t1:host:1:x")
    assert (stored.entries[0].id, stored.entries[0].queue) == ("t1:report", "t1:mail")
    assert stored.entries[0].options == ['Queue("t1:mail")', "Timeout(1m30s)"]
    info, *_ = await reading(whole, "mail", actions=frozenset({Action.READ_SCHEDULES})).schedulers()
    assert info.entries[0].payload is None


@pytest.mark.requirement("SEC-GW-6")
async def test_events_of_schedules_of_the_same_name_stay_apart(whole: Store, store: Store) -> None:
    other = ScopedStore(whole, Scope("t"), FULL_ACCESS)
    now = store.clock.now()
    for one, task in ((whole, "w"), (other, "o"), (store, "s")):
        await one.record([FireEvent("report", task, now)])
        await one.register_schedules("mail", ["report"])
    assert await store.fires("report", Page()) == [FireEvent("report", "s", now)]
    assert await other.fires("report", Page()) == [FireEvent("report", "o", now)]
    assert await store.pause_schedule("mail", "report", True)
    assert list(await store.schedule_states("mail")) == ["report"]
    assert list(await whole.schedule_states("t1:mail")) == ["t1:report"]
    assert not (await other.schedule_states("mail"))["report"].paused
    await whole.register_schedules("t1:mail", ["of-the-operator"])
    assert list(await store.schedule_states("mail")) == ["report"]


# --- cancellations --------------------------------------------------------------------------------


@pytest.mark.requirement("SEC-GW-6")
async def test_cancellations_reach_the_tenant_of_the_queue(whole: Store, store: Store) -> None:
    # Given an id that is active in two queues of the tenant, waits in a third, and is active elsewhere
    for queue in ("t1:a", "t1:b", "t1:c", "t1x:a", "a"):
        await put(whole, entry("x", queue=queue))
    for queue in ("t1:a", "t1:b", "t1x:a", "a"):
        await take(whole, queues=[queue])
    received: list[Cancellation] = []

    async def listen() -> None:
        async for request in store.cancellations():
            received.append(request)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0)
    # When others cancel, the tenant is told of its own only
    await whole.cancel([TaskRef("t1x:a", "x"), TaskRef("a", "x")])
    await whole.cancel([TaskRef("t1:c", "x")], archive=True)
    # and of a request without a queue, as Go sends it, if the task is active in its queues
    await whole.cancel([TaskRef("", "nobody"), TaskRef("", "x")])
    for _ in range(5):
        await asyncio.sleep(0)
    assert received == [
        Cancellation(TaskRef("c", "x"), archive=True),
        Cancellation(TaskRef("a", "x")),
        Cancellation(TaskRef("b", "x")),
    ]
    listening.cancel()
    await asyncio.wait([listening])


async def test_a_server_is_told_of_its_queues_only(whole: Store, store: Store) -> None:
    requests = reading(whole, "mail").cancellations()
    receiving = asyncio.ensure_future(anext(requests))
    await asyncio.sleep(0)
    await store.cancel([TaskRef("bills", "a"), TaskRef("mail", "b")])
    assert (await receiving).ref == TaskRef("mail", "b")
