"""A principal that is limited to some task types sees and changes tasks of those types only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved, Output
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Access, Grant
from asynqio.core.access.scope import Scope
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action as Operation
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from asynqio.errors import AccessDenied, InvalidTask
from asynqio.gateway.stores.scoped.broker import NOT_PERMITTED_DELAY
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.testing import FakeClock
from tests.builders import entry, settlement
from tests.conformance.helpers import EVERYTHING, find_task, get_task, ids, put, state_of, take

MAIL, BILL = "email:send", "invoice:print"
#: Queue and type of each task of the store.
TASKS = {"m1": MAIL, "b1": BILL, "m2": MAIL, "b2": BILL}
REFS = [TaskRef("default", id) for id in TASKS]


@pytest.fixture
async def store(clock: FakeClock) -> Store:
    """The store of the tenant, without restrictions."""
    whole = ScopedStore(MemoryBroker(clock=clock), Scope("t1"), Access([Grant(frozenset(Action))]))
    await put(whole, *(entry(id, type=type) for id, type in TASKS.items()))
    return whole


def limited(store: Store, *actions: Action, without: tuple[str, ...] = (), types: str = "email:*") -> Store:
    """The store for a principal with these actions (none: all) on one type."""
    assert isinstance(store, ScopedStore)
    permitted = frozenset(actions or Action) - {Action(name) for name in without}
    return ScopedStore(store._store, Scope("t1"), Access([Grant(permitted, types=(types,))]))


async def test_tasks_of_other_types_are_not_shown(store: Store) -> None:
    mails = limited(store)
    where = Where("default", TaskState.PENDING)
    assert [info.id for info in await mails.tasks(where, EVERYTHING)] == ["m1", "m2"]
    assert [info.id for info in await mails.tasks(where, Page(2))] == ["m1"]
    assert [info.id for info in (await mails.scan(where, "", 10)).infos] == ["m1", "m2"]
    found = await mails.find([*REFS, TaskRef("default", "ghost")])
    assert [info and info.id for info in found] == ["m1", None, "m2", None, None]
    with pytest.raises(AccessDenied) as refusal:
        await mails.attempts(REFS)
    assert (refusal.value.item, refusal.value.type) == (1, BILL)
    assert await mails.attempts([REFS[0], TaskRef("default", "ghost")]) == [[], []]


@pytest.mark.requirement("SEC-GW-5")
async def test_payloads_and_results_take_permissions_of_their_own(store: Store, clock: FakeClock) -> None:
    await put(store, entry("kept", queue="kept", retention=60.0))
    [held] = await take(store, queues=["kept"])
    await store.write_output([Output(held, result=b"secret", progress=b"1")])
    [before] = await store.find([TaskRef("kept", "kept")])
    for without in (
        (),
        (Action.READ_PAYLOAD,),
        (Action.READ_RESULT,),
        (Action.READ_PAYLOAD, Action.READ_RESULT),
    ):
        info = await get_task(limited(store, without=without), "kept", "kept")
        payload, result = Action.READ_PAYLOAD not in without, Action.READ_RESULT not in without
        assert before is not None
        assert (info.payload, info.result, info.progress) == (
            before.payload if payload else None,
            before.result if result else None,
            before.progress if result else None,
        )
    # What reports progress is read like the progress
    await store.write_output([Output(held, live=AttemptRecord(progress=b"2"))])
    [[record]] = await limited(store, without=(Action.READ_RESULT,)).attempts([TaskRef("kept", "kept")])
    assert record.progress is None
    [[record]] = await limited(store).attempts([TaskRef("kept", "kept")])
    assert record.progress == b"2"


async def test_operations_on_tasks_of_other_types_are_refused_as_a_whole(store: Store) -> None:
    mails = limited(store)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: mails.move(Operation.ARCHIVE, REFS),
        lambda: mails.transfer(REFS, "low"),
        lambda: mails.rewrite(dict.fromkeys(REFS, b"new")),
        lambda: mails.cancel(REFS),
    ]
    for call in calls:
        with pytest.raises(AccessDenied) as refusal:
            await call()
        assert (refusal.value.item, refusal.value.queue, refusal.value.type) == (1, "default", BILL)
    assert await ids(store, TaskState.PENDING) == list(TASKS)
    ghost = TaskRef("default", "ghost")
    assert await mails.move(Operation.ARCHIVE, [REFS[0], ghost]) == [Moved.DONE, Moved.NOT_FOUND]
    assert await state_of(store, "m1") is TaskState.ARCHIVED


@pytest.mark.requirement("SEC-GW-5")
async def test_what_concerns_a_whole_queue_takes_permission_for_all_types(store: Store) -> None:
    mails, everything = limited(store), limited(store, types="*")
    await put(store, entry("g1", group="g"))
    for one in (mails, everything):
        calls = [
            one.pause("default", True),
            one.move_all(Operation.ARCHIVE, Where("default", TaskState.PENDING)),
            one.flush_group("default", "g"),
            one.claim_groups(["default"], GroupRule(grace=0.0), 1),
            one.remove_queue("default", force=True),
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        denied = [isinstance(answer, AccessDenied) for answer in answers]
        assert denied == [one is mails] * len(calls)
    # A type of its own can be paused
    assert await mails.pause_type("default", MAIL, True)
    with pytest.raises(AccessDenied):
        await mails.pause_type("default", BILL, True)


@pytest.mark.requirement("SEC-GW-8")
async def test_a_server_gets_tasks_of_its_types_only(store: Store, clock: FakeClock) -> None:
    mails = limited(store, Action.CLAIM)
    leases = await take(mails, 4)
    assert [lease.message.id for lease in leases] == ["m1", "m2"]
    # The others are deferred, uncounted, so that another server can take them
    assert await ids(store, TaskState.RETRY) == ["b1", "b2"]
    for id in ("b1", "b2"):
        info = await get_task(store, id)
        assert info.next_process_at == clock.now() + NOT_PERMITTED_DELAY
        assert (info.retried, info.last_error) == (0, "")
    # It settles and renews what it holds, and nothing else
    assert await mails.renew(leases, 60) == [True, True]
    clock.advance(NOT_PERMITTED_DELAY)
    await store.forward(["default"], 10)
    [other, *_] = await take(store, 2)
    with pytest.raises(AccessDenied):
        await mails.settle([settlement(leases[0], now=clock.now()), settlement(other, now=clock.now())])
    assert await mails.settle([settlement(leases[0], now=clock.now())]) == [True]
    # and finds expired leases of its types only
    clock.advance(1_000)
    assert [lease.message.id for lease in (await mails.expired(["default"], 9)).leases] == ["m2"]


async def test_a_settlement_cannot_turn_a_task_into_another_one(store: Store, clock: FakeClock) -> None:
    mails = limited(store, Action.CLAIM)
    [lease] = await take(mails)
    for change in ({"queue": "low"}, {"id": "b1"}, {"type": BILL}):
        stored = msgspec.structs.replace(lease.message, **change)
        bad = msgspec.structs.replace(
            settlement(lease, now=clock.now()), to=TaskState.PENDING, message=stored
        )
        with pytest.raises(InvalidTask, match="cannot change the queue, id or type of task 'm1'"):
            await mails.settle([bad])
    assert await state_of(store, "m1") is TaskState.ACTIVE


@pytest.mark.parametrize("queue", ["low", "default"])
async def test_an_entry_cannot_take_the_lock_of_another_queue_or_type(store: Store, queue: str) -> None:
    key = unique_key(queue, BILL, b"1")
    for until in ("finished", "expired"):
        good = entry("x", type=MAIL, unique=60.0, until=until)
        bad = msgspec.structs.replace(
            good,
            message=msgspec.structs.replace(good.message, unique_key=good.message.unique_key and key),
            throttle=good.throttle and key,
        )
        with pytest.raises(InvalidTask, match="does not belong to queue 'default' and type 'email:send'"):
            await store.enqueue([bad])
        with pytest.raises(InvalidTask):
            store.check(bad)
    assert await find_task(store, "x") is None
    assert await store.lock_holder("default", unique_key("low", MAIL, None)) is None
