"""Tasks: found, listed in order, in pages; and holders of locks."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import (
    entry_for,
    get_task,
    ids,
    put,
    put_in_state,
)

A = TaskRef("default", "a")


async def test_find_is_aligned_and_returns_none_for_unknown_tasks(broker: Store) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    refs = [TaskRef("other", "b"), TaskRef("default", "b"), A, TaskRef("ghost", "a")]
    found = await broker.find(refs)
    assert [info and info.ref for info in found] == [refs[0], None, refs[2], None]
    assert await broker.find([]) == []


async def test_a_snapshot_has_the_fields_of_its_state(broker: Store, clock: FakeClock) -> None:
    start = clock.now()
    await put(broker, entry("later", at=start + 50), entry("member", group="g"), entry("a"))
    clock.advance(5)
    shown = {
        id: (info.next_process_at, info.pending_since, info.is_orphaned)
        for id in ("later", "member", "a")
        for info in [await get_task(broker, id)]
    }
    assert shown == {
        "later": (start + 50, 0.0, False),
        "member": (0.0, 0.0, False),
        "a": (clock.now(), start, False),
    }


@pytest.mark.parametrize("state", [TaskState.ARCHIVED, TaskState.COMPLETED])
async def test_completed_and_archived_tasks_are_listed_latest_first(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    for id in "zam":
        await put_in_state(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    assert await ids(broker, state) == ["m", "a", "z"]


async def test_scheduled_and_retry_tasks_are_listed_earliest_first(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"s{delay}", at=clock.now() + delay) for delay in (30, 10, 20)))
    assert await ids(broker, TaskState.SCHEDULED) == ["s10", "s20", "s30"]
    for id in "zam":
        await put_in_state(broker, clock, TaskState.RETRY, entry(id))
        clock.advance(1)
    assert await ids(broker, TaskState.RETRY) == ["z", "a", "m"]


async def test_aggregating_tasks_are_listed_oldest_first(broker: Store, clock: FakeClock) -> None:
    for id, group in ("z", "g1"), ("a", "g2"), ("m", "g1"):
        await put(broker, entry(id, group=group))
        clock.advance(1)
    assert await ids(broker, TaskState.AGGREGATING) == ["z", "a", "m"]
    assert await ids(broker, TaskState.AGGREGATING, group="g1") == ["z", "m"]
    assert await ids(broker, TaskState.AGGREGATING, group="ghost") == []


@pytest.mark.parametrize("state", list(TaskState))
async def test_pages_together_are_the_whole_list(broker: Store, clock: FakeClock, state: TaskState) -> None:
    for id in "abcde":
        if state is TaskState.PENDING:
            await put(broker, entry(id))
        else:
            await put_in_state(broker, clock, state, entry_for(state, id))
        clock.advance(1)
    whole = await ids(broker, state)
    where = Where("default", state)
    pages = [await broker.tasks(where, Page(2, offset)) for offset in (0, 2, 4, 6)]
    assert [[info.id for info in page] for page in pages] == [whole[:2], whole[2:4], whole[4:], []]


def test_an_empty_page_or_a_negative_offset_is_refused() -> None:
    for size, offset in ((0, 0), (-1, 0), (1, -1)):
        with pytest.raises(ValueError, match="at least"):
            Page(size, offset)


async def test_lock_holder_returns_the_holder_and_the_expiry(broker: Store, clock: FakeClock) -> None:
    one = entry("a", unique=60.0)
    key = one.message.unique_key
    assert await broker.lock_holder("default", key) is None
    await put(broker, one)
    assert await broker.lock_holder("default", key) == LockHolder("a", clock.now() + 60)
    assert (
        await broker.lock_holder("default", entry("b", payload=b"2", unique=60.0).message.unique_key) is None
    )
    clock.advance(60)
    assert await broker.lock_holder("default", key) is None
    await put(broker, entry("b", unique=30.0))
    assert await broker.lock_holder("default", key) == LockHolder("b", clock.now() + 30)
    throttle = entry("c", payload=b"3", unique=20.5, until="expired")
    await put(broker, throttle)
    assert await broker.lock_holder("default", throttle.lock) == LockHolder("c", clock.now() + 20.5)
    await broker.move(Action.DELETE, [TaskRef("default", "b")])
    assert await broker.lock_holder("default", key) is None
