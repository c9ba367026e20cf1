"""Rules 1 and 12: a call cancelled at any point leaves the store consistent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Output
from asynqio.core.groups import GroupRule, GroupRules
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import entry, failed, server_info, settlement
from tests.conformance.helpers import put, put_in_state, snapshot, take

#: The steps of the event loop at which a call is cancelled.
STEPS = range(8)
Call = Callable[[], Awaitable[Any]]


async def enqueueing(broker: Store, clock: FakeClock) -> Call:
    batch = [entry("b", unique=60), entry("c", at=clock.now() + 9), entry("d", group="g")]
    return lambda: broker.enqueue(batch)


async def dequeueing(broker: Store, clock: FakeClock) -> Call:
    await put(broker, *map(entry, "bc"))
    return lambda: take(broker, 2)


async def renewing(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b"))
    leases = await take(broker, 2)
    return lambda: broker.renew(leases, 500)


async def settling(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", unique=60), entry("c"))
    one, two, *_ = await take(broker, 3)
    return lambda: broker.settle([settlement(one, now=clock.now()), failed(two, clock.now())])


async def writing_output(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b"))
    [lease, *_] = await take(broker, 2)
    return lambda: broker.write_output([Output(lease, b"1", b"2")])


async def forwarding(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", at=clock.now()), entry("c", at=clock.now(), group="g"))
    return lambda: broker.forward(["default"], 9)


async def expiring(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b"))
    await take(broker, 2, lease=5)
    clock.advance(5)
    return lambda: broker.expired(["default"], 9)


async def sweeping(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", retention=5.0, queue="other"), entry("c", group="g"))
    [lease] = await take(broker, queues=["other"])
    await broker.settle([settlement(lease, now=clock.now())])
    await broker.claim_groups(["default"], GroupRule(grace=0), 9)
    clock.advance(500)
    return lambda: broker.sweep(["default", "other"], 9)


async def claiming(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", group="g"), entry("c", group="h"))
    return lambda: broker.claim_groups(["default"], GroupRule(grace=0), 9)


async def claiming_by_name(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", group="g"), entry("c", group="h"))
    policy = GroupRules({"g": GroupRule(grace=0), "h": GroupRule(grace=0)}, exact=True)
    return lambda: broker.claim_groups(["default"], policy, 9)


async def merging(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", group="g"), entry("c", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0), 9)).batches
    return lambda: broker.merge_group(batch, entry("merged"))


async def deleting_a_batch(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", group="g"), entry("c", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0), 9)).batches
    return lambda: broker.delete_batch(batch)


async def moving(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b"))
    return lambda: broker.move(Action.ARCHIVE, [TaskRef("default", "b"), TaskRef("default", "a")])


async def moving_all(broker: Store, clock: FakeClock) -> Call:
    await put(broker, *(entry(id, at=clock.now() + 9) for id in "bcd"))
    return lambda: broker.move_all(Action.RUN, Where("default", TaskState.SCHEDULED))


async def rewriting(broker: Store, clock: FakeClock) -> Call:
    await put(broker, entry("b", unique=60))
    return lambda: broker.rewrite({TaskRef("default", "b"): b"new"})


async def pausing(broker: Store, clock: FakeClock) -> Call:
    return lambda: broker.pause("default", True)


async def dropping(broker: Store, clock: FakeClock) -> Call:
    await put_in_state(broker, clock, TaskState.RETRY, entry("b", queue="other", unique=60))
    return lambda: broker.remove_queue("other", force=True)


async def beating(broker: Store, clock: FakeClock) -> Call:
    return lambda: broker.beat(server_info(), 9)


CALLS = [
    enqueueing,
    dequeueing,
    renewing,
    settling,
    writing_output,
    forwarding,
    expiring,
    sweeping,
    claiming,
    claiming_by_name,
    merging,
    deleting_a_batch,
    moving,
    moving_all,
    rewriting,
    pausing,
    dropping,
    beating,
]


@pytest.mark.parametrize("prepare", CALLS, ids=lambda prepare: prepare.__name__)
@pytest.mark.parametrize("steps", STEPS)
async def test_rules_1_and_12_a_call_cancelled_at_any_point_leaves_no_partial_change(
    broker: Store, clock: FakeClock, steps: int, prepare: Callable[[Store, FakeClock], Awaitable[Call]]
) -> None:
    # Given a store with some content
    await put(broker, entry("a"))
    call = await prepare(broker, clock)
    known = {info.ref for info in await everything(broker)}
    # When the caller is cancelled some steps into the call
    caller = asyncio.ensure_future(call())
    for _ in range(steps):
        await asyncio.sleep(0)
    was_over = caller.done()
    caller.cancel()
    how: object = (await asyncio.gather(caller, return_exceptions=True))[0]
    # Then the cancellation propagates, unless the call had finished
    assert was_over or isinstance(how, asyncio.CancelledError)
    # and every task is in exactly one state (`snapshot` checks), and no other task is lost
    await snapshot(broker)
    assert TaskRef("default", "a") in known
    assert await state_and_lease_agree(broker, clock)
    # and the store works as before
    await put(broker, entry("afterwards", queue="afterwards"))
    [lease] = await take(broker, queues=["afterwards"])
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]


@pytest.mark.parametrize("steps", STEPS)
async def test_rules_1_and_12_a_cancelled_dequeue_loses_no_task(
    broker: Store, clock: FakeClock, steps: int
) -> None:
    # Given two tasks, and a server that is cancelled during dequeue
    await put(broker, *map(entry, "ab"))
    caller = asyncio.ensure_future(take(broker, 2, lease=10))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    # Then each is pending, or active with a lease that expires
    clock.advance(10)
    expired = [lease.message.id for lease in (await broker.expired(["default"], 9)).leases]
    pending = [info.id for info in await everything(broker) if info.state is TaskState.PENDING]
    assert sorted(expired + pending) == ["a", "b"]


@pytest.mark.parametrize("steps", STEPS)
async def test_rule_11_a_cancelled_merge_is_done_wholly_or_not_at_all(
    broker: Store, clock: FakeClock, steps: int
) -> None:
    await put(broker, *(entry(id, group="g") for id in "abc"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0), 9)).batches
    caller = asyncio.ensure_future(broker.merge_group(batch, entry("merged")))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    left = sorted(info.id for info in await everything(broker))
    assert left in (["a", "b", "c"], ["merged"])


async def everything(broker: Store) -> list[Any]:
    seen = await snapshot(broker)
    return [
        info
        for queue, facts in seen.items()
        if queue != "servers"
        for infos in facts[1].values()
        for info in infos
    ]


async def state_and_lease_agree(broker: Store, clock: FakeClock) -> bool:
    """Whether exactly the ACTIVE tasks have a lease: each one expires after its time."""
    active = sorted(info.ref for info in await everything(broker) if info.state is TaskState.ACTIVE)
    clock.advance(1e6)
    expired = (await broker.expired(await broker.queues(), 100)).leases
    return active == sorted(lease.message.ref for lease in expired)
