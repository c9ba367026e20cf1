"""Removing a queue that others use: each accepted task is found afterwards, or was counted as removed."""

from __future__ import annotations

import asyncio

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound, WrongState
from asynqio.inspector.doctor import diagnose
from tests.builders import entry
from tests.conformance.helpers import EVERYTHING, ids, put

TASKS = 120
#: The producer pauses after this many tasks, so that the queue is empty now and then.
BURST = 10


async def _produce(store: Store, group: str, deleted: set[str]) -> list[str]:
    accepted = []
    for number in range(TASKS):
        id = f"{group}{number}"
        assert await store.enqueue([entry(id, group=group)]) == [Admission.ACCEPTED]
        accepted.append(id)
        if number % BURST == BURST - 1:
            state = TaskState.AGGREGATING if group else TaskState.PENDING
            refs = [TaskRef("default", id) for id in accepted if id not in deleted]
            for ref, answer in zip(refs, await store.move(Action.DELETE, refs, state=state), strict=True):
                if answer is Moved.DONE:
                    deleted.add(ref.id)
            await asyncio.sleep(0)
    return accepted


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("group", ["", "g"])
async def test_removing_a_queue_beside_a_producer_loses_no_accepted_task(
    broker: Store, force: bool, group: str
) -> None:
    removals, deleted = list[int](), set[str]()
    producing = True

    async def remove() -> None:
        while producing:
            removals.append(0)

            def count(removed: int) -> None:
                removals[-1] = removed

            try:
                await broker.remove_queue("default", force=force, progress=count)
            except (QueueNotFound, WrongState):
                await asyncio.sleep(0)

    # Given a producer, which deletes its tasks now and then, and an operator who removes the queue again and again
    async with broker.clone() as other:
        removing = asyncio.create_task(remove())
        accepted = await _produce(other, group, deleted)
        producing = False
        await removing
        # and a last task, which stays
        await put(other, entry("last"))
        accepted.append("last")
    # Then each accepted task is found, was deleted, or was counted as removed
    where = TaskState.AGGREGATING if group else TaskState.PENDING
    left = [info.id for info in await broker.tasks(Where("default", where, group), EVERYTHING)]
    left += await ids(broker, TaskState.PENDING) if group else []
    assert len(left) + len(deleted) + sum(removals) == len(accepted)
    assert set(left) <= set(accepted) - deleted
    # and nothing is left behind
    assert await broker.queues() == ["default"]
    found = [one.code for one in await diagnose(broker, fix=False) if one.queue == "default"]
    assert found == ["no-server"]
    for id in set(accepted) - set(left):
        assert await broker.enqueue([entry(id)]) == [Admission.ACCEPTED]
