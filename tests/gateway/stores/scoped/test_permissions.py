"""Every method of a store needs the action that the table names, and sends nothing without it."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from asynqio.brokers.contract.broker import Broker, Store
from asynqio.brokers.contract.inspection import Inspection
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.grants import FULL_ACCESS, Access, Grant
from asynqio.core.access.roles import Role, grants_of
from asynqio.core.access.scope import Scope
from asynqio.core.lifecycle import Action as Operation
from asynqio.core.schedules.firing import Fire
from asynqio.core.task.message import TaskRef
from asynqio.errors import AccessDenied
from asynqio.gateway.stores.scoped.permissions import NEEDS, OPERATIONS
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.runtime.duties.canceller import PROBE
from asynqio.testing import FakeClock, Flaky
from tests.builders import entry
from tests.conformance.helpers import ids, put
from tests.gateway.stores.scoped.calls import CALLS, QUEUE, REF, SCHEDULER

TENANT = "t1"
#: Methods that every principal may call, or that only concern this process.
FREE = {"clone"}
#: What a call needs besides the action of its row.
ALSO = {"fire": Action.ENQUEUE, "transfer": Action.ENQUEUE}
#: What is answered with less, not refused.
SHORTENED = {"nodes"}

each_method = pytest.mark.parametrize("method", NEEDS)


def permitting(*actions: Action, queues: tuple[str, ...] = ("*",), types: tuple[str, ...] = ("*",)) -> Access:
    return Access([Grant(frozenset(actions), queues, types)])


@pytest.fixture
async def flaky(clock: FakeClock) -> Flaky:
    """A memory broker that counts calls; the tenant has a task and a group in its queue."""
    broker = MemoryBroker(clock=clock)
    await put(broker, entry("a", queue=f"{TENANT}:{QUEUE}"), entry("m", queue=f"{TENANT}:{QUEUE}", group="g"))
    return Flaky(broker)


def scoped(flaky: Flaky, access: Access, prefix: str = TENANT) -> Store:
    return ScopedStore(flaky.broker, Scope(prefix), access)


def methods() -> set[str]:
    """The methods of the contract."""
    return {
        name
        for protocol in (Broker, Inspection)
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.requirement("SEC-GW-5")
def test_every_method_has_a_row_and_every_row_is_tested() -> None:
    assert set(NEEDS) == methods() - FREE
    assert set(CALLS) == set(NEEDS)
    assert set(OPERATIONS) == set(Operation)
    assert {action for actions in OPERATIONS.values() for action in actions} == set(NEEDS["move"])


@pytest.mark.requirement("SEC-GW-5")
@each_method
async def test_without_the_action_a_call_is_refused_before_anything_is_sent(
    flaky: Flaky, method: str
) -> None:
    if not NEEDS[method]:
        await CALLS[method](scoped(flaky, Access([])))
        return
    others = [action for action in Action if action not in NEEDS[method]]
    for access in (Access([]), permitting(*others), permitting(*Action, queues=("other",))):
        store = scoped(flaky, access)
        if method in SHORTENED:
            assert await CALLS[method](store) == []
        elif access.allows(NEEDS[method][0]) and method in (
            "queues",
            "servers",
            "schedulers",
            "fires",
            "record",
            "renew_owner",
            "cancellations",
        ):
            assert not await CALLS[method](store), "it is permitted, but there is nothing to see"
        else:
            with pytest.raises(AccessDenied) as refusal:
                await CALLS[method](store)
            assert refusal.value.action in {*NEEDS[method], ALSO.get(method)}
            assert TENANT not in str(refusal.value)
            assert flaky.calls == {}
        flaky.calls.clear()


@pytest.mark.requirement("SEC-GW-5")
@each_method
async def test_the_action_is_enough(flaky: Flaky, method: str) -> None:
    if not MANAGEMENT.isdisjoint(NEEDS[method]):
        return  # see below
    # One of several, except where the call says which
    needed = NEEDS[method][:1] if method in ("move", "move_all", "beat", "leave") else NEEDS[method]
    for action in needed:
        both = {action, ALSO.get(method, action)}
        await CALLS[method](scoped(flaky, permitting(*both, queues=("ma*",))))


async def test_a_call_that_enqueues_needs_that_action_as_well(flaky: Flaky) -> None:
    scheduler = scoped(flaky, permitting(Action.WRITE_SCHEDULES))
    with pytest.raises(AccessDenied, match="task:enqueue"):
        await scheduler.fire([Fire("report", 60.0, entry("x", queue=QUEUE))])
    editor = Access([Grant(frozenset({Action.EDIT})), Grant(frozenset({Action.ENQUEUE}), ("low",))])
    with pytest.raises(AccessDenied, match="task:enqueue"):
        await scoped(flaky, editor).transfer([REF], "high")
    await scoped(flaky, editor).transfer([REF], "low")
    assert await ids(flaky.broker, entry().state, f"{TENANT}:low") == ["a"]


async def test_operations_need_their_own_action(flaky: Flaky) -> None:
    for operation, [action] in OPERATIONS.items():
        others = scoped(flaky, permitting(*set(NEEDS["move"]) - {action}))
        with pytest.raises(AccessDenied, match=action):
            await others.move(operation, [REF])
        await scoped(flaky, permitting(action)).move(operation, [TaskRef(QUEUE, "ghost")])


async def test_servers_and_schedulers_register_with_different_actions(flaky: Flaky) -> None:
    server, scheduler = permitting(Action.CLAIM), permitting(Action.WRITE_SCHEDULES)
    with pytest.raises(AccessDenied, match="schedule:write"):
        await scoped(flaky, server).beat(SCHEDULER, 15)
    with pytest.raises(AccessDenied, match="task:claim"):
        await CALLS["beat"](scoped(flaky, scheduler))
    await scoped(flaky, scheduler).beat(SCHEDULER, 15)
    await scoped(flaky, scheduler).leave(SCHEDULER)


async def test_a_server_without_permission_to_cancel_can_test_that_it_receives_cancellations(
    flaky: Flaky,
) -> None:
    server = scoped(flaky, permitting(Action.CLAIM, queues=("mail",)))
    requests = server.cancellations()
    receiving = anext(requests)
    probe = TaskRef(PROBE, "x")
    received = asyncio.ensure_future(receiving)
    await asyncio.sleep(0)
    await server.cancel([probe])
    assert (await received).ref == probe
    with pytest.raises(AccessDenied, match="task:cancel"):
        await server.cancel([probe, REF])


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.requirement("SEC-GW-5")
async def test_a_batch_with_one_forbidden_item_fails_as_a_whole_and_names_it(flaky: Flaky) -> None:
    store = scoped(flaky, permitting(Action.ENQUEUE, queues=("mail", "low"), types=("email:*",)))
    good, bad = entry("x", queue="low"), entry("y", queue="low", type="invoice:send")
    with pytest.raises(AccessDenied) as refusal:
        await store.enqueue([good, good, bad, good])
    assert refusal.value.item == 2
    assert (refusal.value.queue, refusal.value.type) == ("low", "invoice:send")
    assert str(refusal.value).startswith("item 2: permission 'task:enqueue' on queue 'low'")
    assert flaky.calls == {}
    with pytest.raises(AccessDenied):
        store.check(bad)
    store.check(good)


# --- the store itself -----------------------------------------------------------------------------


@pytest.mark.requirement("SEC-GW-14")
@pytest.mark.parametrize("method", [name for name in NEEDS if not MANAGEMENT.isdisjoint(NEEDS[name])])
async def test_the_store_is_managed_with_that_action_and_never_within_a_tenant(
    flaky: Flaky, method: str
) -> None:
    tasks_only = permitting(*set(Action) - MANAGEMENT)
    assert tasks_only.everything
    for store in (scoped(flaky, FULL_ACCESS), scoped(flaky, tasks_only, prefix="")):
        if method in SHORTENED:
            assert await CALLS[method](store) == []
        else:
            with pytest.raises(AccessDenied):
                await CALLS[method](store)
    assert flaky.calls == {}
    await CALLS[method](scoped(flaky, FULL_ACCESS, prefix=""))
    assert flaky.calls == {method: 1}


async def test_access_to_everything_without_a_tenant_costs_nothing() -> None:
    broker = MemoryBroker()
    store = ScopedStore(broker, Scope(), FULL_ACCESS)
    direct = {name for name in NEEDS if getattr(store, name) == getattr(broker, name)}
    assert direct == {name for name, actions in NEEDS.items() if MANAGEMENT.isdisjoint(actions)}


def test_the_secrets_of_the_store_are_not_those_of_the_principal() -> None:
    class WithSecrets(MemoryBroker):
        @property
        def private_url(self) -> str:
            return "redis://:secret@host"

    store = ScopedStore(WithSecrets(), Scope("t1"), FULL_ACCESS)
    assert store.private_url == store.url == "memory://"
    assert store.clone().private_url == "memory://"


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.parametrize("role", Role)
@each_method
async def test_a_role_may_call_what_its_actions_permit(flaky: Flaky, role: Role, method: str) -> None:
    access = Access(grants_of(role, ["mail"]))
    store = scoped(flaky, access)
    needed = NEEDS[method][:1] if method in ("move", "move_all", "beat", "leave") else NEEDS[method]
    permitted = not needed or any(access.allows(action) for action in needed)
    permitted &= method not in ALSO or access.allows(ALSO[method])
    permitted &= MANAGEMENT.isdisjoint(needed)
    if permitted or method in SHORTENED:
        await CALLS[method](store)
    else:
        with pytest.raises(AccessDenied):
            await CALLS[method](store)
