"""Rules 1, 4 and 7 under concurrency: many coroutines, and clones in other threads."""

from __future__ import annotations

import asyncio
from collections import Counter

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import entry, settlement
from tests.conformance.helpers import ids, in_other_thread, put, snapshot, take

TASKS = 240


async def drain(broker: Store) -> list[Lease]:
    """Dequeue until the queue is empty."""
    taken: list[Lease] = []
    while leases := await take(broker, 3):
        taken += leases
        await asyncio.sleep(0)
    return taken


async def crowd(broker: Store) -> list[Lease]:
    """Dequeue with several coroutines of one event loop."""
    return [lease for taken in await asyncio.gather(*(drain(broker) for _ in range(4))) for lease in taken]


async def test_rule_4_concurrent_dequeues_lease_each_task_once(broker: Store) -> None:
    # Given many tasks
    await put(broker, *(entry(f"task-{number}") for number in range(TASKS)))
    # When three event loops with four coroutines each dequeue them
    groups = await asyncio.gather(
        crowd(broker), in_other_thread(broker, crowd), in_other_thread(broker, crowd)
    )
    # Then each was leased once
    taken = [lease.message.id for group in groups for lease in group]
    assert len(taken) == TASKS
    assert len(set(taken)) == TASKS
    assert len(await ids(broker, TaskState.ACTIVE)) == TASKS


async def test_rule_7_of_concurrent_settlements_of_a_lease_one_succeeds(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, *(entry(f"task-{number}") for number in range(30)))
    leases = await take(broker, 30)

    async def settle(store: Store) -> list[bool]:
        answers = []
        for lease in leases:
            answers += await store.settle([settlement(lease, now=clock.now())])
        return answers

    rounds = await asyncio.gather(
        settle(broker), settle(broker), in_other_thread(broker, settle), in_other_thread(broker, settle)
    )
    assert [sum(answers) for answers in zip(*rounds, strict=True)] == [1] * 30
    [stats] = await broker.stats(["default"])
    assert (stats.processed_total, stats.size) == (30, 0)


async def test_rule_3_of_concurrent_entries_with_one_id_one_is_accepted(broker: Store) -> None:
    async def enqueue(store: Store) -> list[Admission | Replaced]:
        return [(await store.enqueue([entry("same")]))[0] for _ in range(10)]

    rounds = await asyncio.gather(enqueue(broker), enqueue(broker), in_other_thread(broker, enqueue))
    counts = Counter(answer for answers in rounds for answer in answers)
    assert counts == {Admission.ACCEPTED: 1, Admission.ID_CONFLICT: 29}


async def test_rule_3_of_concurrent_duplicates_one_is_accepted(broker: Store) -> None:
    async def enqueue(store: Store) -> list[Admission | Replaced]:
        return [(await store.enqueue([entry(unique=60)]))[0] for _ in range(10)]

    rounds = await asyncio.gather(enqueue(broker), enqueue(broker), in_other_thread(broker, enqueue))
    counts = Counter(answer for answers in rounds for answer in answers)
    assert counts == {Admission.ACCEPTED: 1, Admission.DUPLICATE: 29}


async def test_rule_8_concurrent_forwards_move_each_task_once(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"task-{number}", at=clock.now()) for number in range(100)))

    async def forward(store: Store) -> int:
        moved = 0
        while step := (await store.forward(["default"], 7)).moved:
            moved += step
            await asyncio.sleep(0)
        return moved

    moved = await asyncio.gather(forward(broker), forward(broker), in_other_thread(broker, forward))
    assert sum(moved) == 100
    assert len(await ids(broker, TaskState.PENDING)) == 100


async def test_rule_11_concurrent_claims_take_each_member_once(broker: Store) -> None:
    await put(broker, *(entry(f"task-{number}", group=f"g{number % 5}") for number in range(100)))

    async def claim(store: Store) -> list[str]:
        claimed: list[str] = []
        while batches := (await store.claim_groups(["default"], GroupRule(0, 0, 7), 2)).batches:
            claimed += [message.id for batch in batches for message in batch.messages]
            await asyncio.sleep(0)
        return claimed

    rounds = await asyncio.gather(claim(broker), claim(broker), in_other_thread(broker, claim))
    claimed = [id for ids in rounds for id in ids]
    assert (len(claimed), len(set(claimed))) == (100, 100)


async def test_rule_10_concurrent_sweeps_delete_each_task_once(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"task-{number}", retention=5.0) for number in range(60)))
    await broker.settle([settlement(lease, now=clock.now()) for lease in await take(broker, 60)])
    clock.advance(5)

    async def sweep(store: Store) -> int:
        deleted = 0
        while step := (await store.sweep(["default"], 7)).deleted:
            deleted += step
            await asyncio.sleep(0)
        return deleted

    assert sum(await asyncio.gather(sweep(broker), sweep(broker), in_other_thread(broker, sweep))) == 60


async def test_rule_1_concurrent_producers_workers_and_operators_keep_every_task_in_one_state(
    broker: Store, clock: FakeClock
) -> None:
    async def produce(store: Store) -> None:
        for number in range(60):
            await store.enqueue([entry(f"task-{number}", at=clock.now() if number % 3 else 0.0)])
            await asyncio.sleep(0)

    async def work(store: Store) -> None:
        for _ in range(40):
            await store.forward(["default"], 3)
            leases = await take(store, 2)
            await store.settle([settlement(lease, now=clock.now()) for lease in leases[:1]])
            await asyncio.sleep(0)

    async def operate(store: Store) -> None:
        for number in range(60):
            action = list(Action)[number % 3]
            await store.move(action, [TaskRef("default", f"task-{number}")])
            await asyncio.sleep(0)

    await asyncio.gather(
        produce(broker),
        in_other_thread(broker, produce),
        work(broker),
        in_other_thread(broker, work),
        operate(broker),
        in_other_thread(broker, operate),
    )
    # `snapshot` finds tasks in two states, in none, or counted wrongly
    assert (await snapshot(broker))["default"][0].size <= 60
