"""Rules 3 and 20: how long a lock is held, and entries that replace a finished task of their id."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import UniqueUntil, unique_key
from asynqio.testing import FakeClock
from tests.builders import archived, entry, failed, settlement
from tests.conformance.helpers import (
    entry_for,
    get_task,
    is_locked,
    put,
    put_in_state,
    snapshot,
    take,
)

ACCEPTED, DUPLICATE, ID_CONFLICT = Admission.ACCEPTED, Admission.DUPLICATE, Admission.ID_CONFLICT
WAITING = [TaskState.PENDING, TaskState.SCHEDULED, TaskState.RETRY, TaskState.AGGREGATING]
#: A text as lock key, so that entries with different payloads are duplicates.
BY = b"one of these"


def unique(id: str, payload: bytes = b"new", **more: Any) -> Entry:
    return entry(id, payload=payload, by=BY, **{"unique": 600.0, **more})


def holder(state: TaskState, **more: Any) -> Entry:
    """An entry for `put_in_state` that holds the lock."""
    return entry_for(state, "holder", payload=b"old", by=BY, unique=600.0, **more)


# --- how long a lock is held ----------------------------------------------------------------------


async def test_rule_20_until_started_frees_the_lock_for_one_waiting_task(broker: Store) -> None:
    # Given a task that frees its lock when it starts
    await put(broker, unique("a", until="started"))
    assert await broker.enqueue([unique("b", until="started")]) == [DUPLICATE]
    # When a worker takes it
    [held] = await take(broker)
    assert held.message.unique_until is UniqueUntil.STARTED
    # Then another one is accepted and holds the lock, also after the first one ends
    assert await broker.enqueue([unique("c", until="started"), unique("d")]) == [ACCEPTED, DUPLICATE]
    assert await broker.settle([settlement(held)]) == [True]
    assert await broker.enqueue([unique("e")]) == [DUPLICATE]


async def test_rule_20_until_started_a_retried_task_holds_no_lock(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="started"))
    [held] = await take(broker)
    await broker.settle([failed(held, clock.now())])
    clock.advance(60)
    await broker.forward(["default"], 9)
    assert (await get_task(broker, "a")).unique_until is UniqueUntil.STARTED
    await put(broker, unique("b", until="started"))


async def test_rule_20_of_several_leased_tasks_only_those_until_started_free_their_lock(
    broker: Store,
) -> None:
    await put(broker, unique("a", until="started"), entry("b", unique=600.0), entry("c"))
    await take(broker, 3)
    assert not await is_locked(broker, entry(payload=BY, unique=1.0))
    assert await is_locked(broker, entry(unique=1.0))


@pytest.mark.parametrize("until", ["finished", "started", "ended", "expired"])
async def test_rule_20_every_lock_is_free_after_its_ttl(broker: Store, clock: FakeClock, until: str) -> None:
    await put(broker, unique("a", until=until, unique=60.0))
    clock.advance(59)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b")]) == [ACCEPTED]
    # and the lock can be taken again
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


@pytest.mark.parametrize("until", ["finished", "started", "ended"])
@pytest.mark.parametrize("retention", [0.0, 3600.0], ids=["gone", "completed"])
async def test_rule_20_a_successful_task_frees_its_own_lock(
    broker: Store, clock: FakeClock, until: str, retention: float
) -> None:
    await put(broker, unique("a", until=until, retention=retention))
    [held] = await take(broker)
    await broker.settle([settlement(held, now=clock.now())])
    await put(broker, unique("b"))


async def _done(broker: Store, clock: FakeClock) -> None:
    [held] = await take(broker)
    await broker.settle([settlement(held, now=clock.now())])


async def _completed_and_swept(broker: Store, clock: FakeClock) -> None:
    await _done(broker, clock)
    clock.advance(3600)
    await broker.sweep(["default"], 9)


async def _archived(broker: Store, clock: FakeClock) -> None:
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])


async def _moved_to_the_archive(broker: Store, clock: FakeClock) -> None:
    assert await broker.move(Action.ARCHIVE, [TaskRef("default", "a")]) == [Moved.DONE]


async def _deleted(broker: Store, clock: FakeClock) -> None:
    assert await broker.move(Action.DELETE, [TaskRef("default", "a")]) == [Moved.DONE]


ENDS = [_done, _completed_and_swept, _archived, _moved_to_the_archive, _deleted]


@pytest.mark.parametrize("end", ENDS)
async def test_rule_20_a_throttle_is_held_for_its_ttl_whatever_the_outcome(
    broker: Store, clock: FakeClock, end: Any
) -> None:
    start = clock.now()
    retention = 3600.0 if end is _completed_and_swept else 0.0
    await put(broker, unique("a", until="expired", unique=7200.0, retention=retention))
    assert (await get_task(broker, "a")).unique_key == "", "the lock is not the task's own"
    await end(broker, clock)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    assert await broker.enqueue([unique("b", on_duplicate="replace")]) == [DUPLICATE]
    clock.advance(start + 7199 - clock.now())
    assert await broker.enqueue([unique("b", until="expired")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b", until="expired")]) == [ACCEPTED]
    # A new task of the same id meanwhile changes nothing
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_sweep_deletes_an_expired_throttle(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="expired", unique=60.0))
    clock.advance(59)
    await broker.sweep(["default"], 9)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    await broker.sweep(["default"], 9)
    await put(broker, unique("b", unique=60.0))
    await broker.sweep(["default"], 9)
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_another_task_of_the_same_id_does_not_free_a_throttle(
    broker: Store, clock: FakeClock
) -> None:
    # Given the throttle of a finished task
    await put(broker, unique("a", until="expired", unique=60.0))
    await _done(broker, clock)
    # When another task of its id takes a longer lock and ends
    await put(broker, entry("a", payload=b"other", unique=600.0))
    clock.advance(59)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    await _done(broker, clock)
    # Then the throttle expires at its time
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b")]) == [ACCEPTED]


async def test_rule_20_removing_a_queue_deletes_its_throttles(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="expired"))
    await _done(broker, clock)
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []
    await put(broker, unique("b"))


@pytest.mark.parametrize("until", ["started", "ended"])
@pytest.mark.parametrize("way", [_archived, _moved_to_the_archive])
async def test_b06_archiving_frees_the_lock_if_the_mode_says_so(
    broker: Store, clock: FakeClock, until: str, way: Any
) -> None:
    await put(broker, unique("a", until=until))
    await way(broker, clock)
    assert (await get_task(broker, "a")).state is TaskState.ARCHIVED
    await put(broker, unique("b"))
    # The other task holds the lock now
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


@pytest.mark.parametrize("way", [_archived, _moved_to_the_archive])
async def test_rule_20_archiving_keeps_the_lock_by_default_as_in_go(
    broker: Store, clock: FakeClock, way: Any
) -> None:
    await put(broker, unique("a"))
    await way(broker, clock)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]


async def test_rule_20_a_lock_by_a_text_does_not_depend_on_the_payload(broker: Store) -> None:
    await put(broker, unique("a"))
    assert (await get_task(broker, "a")).unique_key == unique_key("default", "email:send", BY)
    assert await broker.rewrite({TaskRef("default", "a"): b"rewritten"}) == [Moved.DONE]
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    assert await broker.enqueue([entry("c", payload=b"rewritten", unique=60.0)]) == [ACCEPTED]


# --- replace_finished -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(TaskState))
async def test_b06_replace_finished_replaces_a_finished_task_of_the_id(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, entry_for(state, "a", payload=b"old"))
    over = state in (TaskState.COMPLETED, TaskState.ARCHIVED)
    before = await snapshot(broker)
    answer = await broker.enqueue([entry("a", payload=b"new", replace_finished=True)])
    assert answer == [ACCEPTED if over else ID_CONFLICT]
    if over:
        info = await get_task(broker, "a")
        assert (info.state, info.payload, info.result, info.last_error) == (
            TaskState.PENDING,
            b"new",
            None,
            "",
        )
        [stats] = await broker.stats(["default"])
        assert (stats.size, stats.pending) == (1, 1)
    else:
        assert await snapshot(broker) == before


async def test_b06_replacing_a_finished_task_frees_its_lock(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", payload=b"old", unique=600.0))
    await _archived(broker, clock)
    old = entry(payload=b"old", unique=1.0)
    assert await is_locked(broker, old)
    assert await broker.enqueue([entry("a", payload=b"new", unique=600.0, replace_finished=True)]) == [
        ACCEPTED
    ]
    assert not await is_locked(broker, old)
    assert await is_locked(broker, entry(payload=b"new", unique=1.0))


async def test_b06_a_finished_task_does_not_refuse_its_replacement_as_a_duplicate(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a"))
    await _archived(broker, clock)
    assert await broker.enqueue([unique("a")]) == [DUPLICATE]
    assert await broker.enqueue([unique("a", replace_finished=True)]) == [ACCEPTED]
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    [held] = await take(broker)
    await broker.settle([settlement(held, now=clock.now())])
    await put(broker, unique("c"))


async def test_b06_a_throttle_also_refuses_the_task_of_its_own_id(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="expired"))
    await _archived(broker, clock)
    before = await snapshot(broker)
    assert await broker.enqueue([unique("a", until="expired", replace_finished=True)]) == [DUPLICATE]
    assert await snapshot(broker) == before


async def test_b06_a_refused_duplicate_leaves_the_finished_task_unchanged(
    broker: Store, clock: FakeClock
) -> None:
    await put_in_state(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    await put(broker, unique("holder"))
    before = await snapshot(broker)
    assert await broker.enqueue([unique("a", replace_finished=True)]) == [DUPLICATE]
    assert await snapshot(broker) == before
