"""Rule 20: an entry whose lock is held replaces or reschedules the waiting holder, or takes the lock over."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Output, Replaced
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import UniqueUntil
from asynqio.testing import FakeClock
from tests.builders import aborted, archived, entry, failed, settlement
from tests.conformance.helpers import (
    entry_for,
    find_task,
    get_task,
    ids,
    is_locked,
    is_notified,
    put,
    put_in_state,
    snapshot,
    state_of,
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


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_replace_gives_the_waiting_task_all_fields_of_the_entry(
    broker: Store, clock: FakeClock, state: TaskState, later: bool
) -> None:
    # Given a task that waits
    await put_in_state(broker, clock, state, holder(state))
    # When a duplicate replaces it
    at = clock.now() + 100 if later else 0.0
    new = unique("b", at=at, headers={"k": "v"}, max_retry=3, on_duplicate="replace")
    assert await broker.enqueue([new]) == [Replaced("holder")]
    # Then it has all fields of the new entry, and its own id
    info = await get_task(broker, "holder")
    expected = TaskState.SCHEDULED if later else TaskState.PENDING
    assert (info.state, info.payload, info.headers, info.max_retry) == (expected, b"new", {"k": "v"}, 3)
    assert (info.retried, info.last_error, info.group) == (0, "", "")
    assert info.next_process_at == (at if later else clock.now())
    assert await find_task(broker, "b") is None
    [stats] = await broker.stats(["default"])
    assert (stats.size, stats.groups) == (1, 0)
    await snapshot(broker)
    # and it is leased once
    clock.advance(100)
    await broker.forward(["default"], 9)
    [held] = await take(broker, 5)
    assert (held.message.id, held.message.payload) == ("holder", b"new")
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert not await is_locked(broker, entry(payload=BY, unique=1.0))


@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_replace_moves_the_waiting_task_to_the_group_of_the_entry(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, holder(state))
    assert await broker.enqueue([unique("b", group="weather", on_duplicate="replace")]) == [
        Replaced("holder")
    ]
    assert await state_of(broker, "holder") is TaskState.AGGREGATING
    assert [(group.group, group.size) for group in await broker.groups("default")] == [("weather", 1)]
    await snapshot(broker)
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    assert [(one.id, one.payload) for one in batch.messages] == [("holder", b"new")]


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_reschedule_changes_only_the_due_time(
    broker: Store, clock: FakeClock, state: TaskState, later: bool
) -> None:
    await put_in_state(broker, clock, state, holder(state, headers={"old": "1"}))
    before = await get_task(broker, "holder")
    at = clock.now() + 100 if later else 0.0
    new = unique("b", at=at, max_retry=3, on_duplicate="reschedule")
    assert await broker.enqueue([new]) == [Replaced("holder")]
    info = await get_task(broker, "holder")
    if later:
        expected = TaskState.RETRY if state is TaskState.RETRY else TaskState.SCHEDULED
    else:
        expected = TaskState.AGGREGATING if state is TaskState.AGGREGATING else TaskState.PENDING
    assert info.state is expected
    for name in ("payload", "headers", "max_retry", "retried", "last_error", "group", "id", "unique_key"):
        assert getattr(info, name) == getattr(before, name), name
    if later:
        assert info.next_process_at == at
    assert await find_task(broker, "b") is None
    await snapshot(broker)


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_a_debounced_task_runs_once_after_the_last_entry(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    # Given ten entries, a second apart, each of which defers the task by 5 s
    answers = []
    for number in range(10):
        one = unique(
            f"call-{number}",
            b"%d" % number,
            at=clock.now() + 5,
            unique=5.0 + 60,
            on_duplicate=on_duplicate,
        )
        answers += await broker.enqueue([one])
        assert (await broker.forward(["default"], 9)).next_at == clock.now() + 5
        clock.advance(1)
    assert answers == [ACCEPTED, *[Replaced("call-0")] * 9]
    # Then it is due 5 s after the last, with the last payload or the first
    clock.advance(4)
    assert (await broker.forward(["default"], 9)).moved == 1
    [held] = await take(broker, 9)
    assert held.message.payload == (b"9" if on_duplicate == "replace" else b"0")


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_changing_the_holder_renews_the_lock(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    await put(broker, unique("a", unique=60.0))
    clock.advance(50)
    assert await broker.enqueue([unique("b", unique=60.0, on_duplicate=on_duplicate)]) == [Replaced("a")]
    clock.advance(59)
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("c")]) == [ACCEPTED]


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_a_holder_that_stays_pending_keeps_its_position(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    await put(broker, unique("a", b"old"), entry("b"))
    clock.advance(5)
    assert await broker.enqueue([unique("c", on_duplicate=on_duplicate)]) == [Replaced("a")]
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]
    assert (await get_task(broker, "a")).pending_since == clock.now() - 5


async def test_rule_20_a_holder_that_stays_in_its_group_keeps_its_age(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", b"old", group="g"))
    start = clock.now()
    clock.advance(5)
    assert await broker.enqueue([unique("b", group="g", on_duplicate="replace")]) == [Replaced("a")]
    [group] = await broker.groups("default")
    assert (group.size, group.oldest_at, group.newest_at) == (1, start, start)


async def test_rule_20_replace_deletes_result_and_progress(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    await broker.write_output([Output(held, b"half", b"50")])
    await broker.settle([failed(held, clock.now())])
    await broker.enqueue([unique("b", until="ended", on_duplicate="replace")])
    info = await get_task(broker, "a")
    assert (info.result, info.progress, info.retried, info.crashes) == (None, None, 0, 0)
    assert info.unique_until is UniqueUntil.ENDED


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_the_new_task_waits_behind_a_running_holder_and_takes_over_the_lock(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    # Given a running holder
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    # When two duplicates are enqueued
    answers = await broker.enqueue(
        [
            unique("b", b"1", on_duplicate=on_duplicate),
            unique("c", b"2", on_duplicate=on_duplicate),
            unique("d"),
        ]
    )
    # Then the first one waits and holds the lock, and the others conflict with it
    assert answers == [ACCEPTED, Replaced("b"), DUPLICATE]
    assert await ids(broker, TaskState.PENDING) == ["b"]
    # and the running task continues, and does not free a lock that it no longer holds
    assert held.message.payload == b"old"
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert await broker.enqueue([unique("e")]) == [DUPLICATE]
    assert (await get_task(broker, "b")).payload == (b"2" if on_duplicate == "replace" else b"1")


async def test_rule_20_a_returned_holder_waits_beside_the_new_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    await put(broker, unique("b", on_duplicate="replace"))
    await broker.settle([aborted(held, clock.now())])
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]


async def test_rule_20_the_new_task_takes_over_the_lock_of_an_archived_holder(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a"))
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])
    assert await broker.enqueue([unique("b", on_duplicate="replace")]) == [ACCEPTED]
    assert await state_of(broker, "a") is TaskState.ARCHIVED
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_a_member_of_a_claimed_batch_is_not_changed(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    assert await broker.enqueue([unique("b", group="g", on_duplicate="replace")]) == [ACCEPTED]
    assert (await get_task(broker, "a")).payload == b"old"
    assert await broker.merge_group(batch, entry("digest")) is ACCEPTED
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_entries_of_one_batch_replace_each_other(broker: Store, clock: FakeClock) -> None:
    answers = await broker.enqueue(
        [
            unique("a", b"1"),
            entry("between"),
            unique("b", b"2", on_duplicate="replace"),
            unique("c", b"3", on_duplicate="replace", at=clock.now() + 5),
            unique("d", b"4", on_duplicate="replace"),
        ]
    )
    assert answers == [ACCEPTED, ACCEPTED, Replaced("a"), Replaced("a"), Replaced("a")]
    assert await ids(broker, TaskState.PENDING) == ["between", "a"]
    assert (await get_task(broker, "a")).payload == b"4"
    assert await ids(broker, TaskState.SCHEDULED) == []


async def test_rule_20_a_holder_moved_to_the_end_precedes_later_entries_of_its_batch(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", at=clock.now() + 100))
    answers = await broker.enqueue([entry("b"), unique("c", on_duplicate="reschedule"), entry("d")])
    assert answers == [ACCEPTED, Replaced("a"), ACCEPTED]
    assert await ids(broker, TaskState.PENDING) == ["b", "a", "d"]


async def test_rule_20_an_existing_id_does_not_prevent_changing_the_holder(
    broker: Store,
) -> None:
    await put(broker, unique("a"), entry("taken"))
    assert await broker.enqueue([unique("taken", on_duplicate="replace")]) == [Replaced("a")]
    assert (await get_task(broker, "taken")).payload == b'{"to":"ann"}'


async def test_rule_3_a_takeover_with_an_existing_id_changes_nothing(broker: Store) -> None:
    await put(broker, unique("a"), entry("taken"))
    [held] = await take(broker)
    before = await snapshot(broker)
    assert await broker.enqueue([unique("taken", on_duplicate="replace")]) == [ID_CONFLICT]
    assert await snapshot(broker) == before
    await broker.settle([settlement(held)])
    assert not await is_locked(broker, entry(payload=BY, unique=1.0))


async def test_rule_20_replace_keeps_long_and_unusual_ids(broker: Store) -> None:
    names = ["ü" * 100, "x" * 127, "y" * 128, "z" * 255, "{a}: *漢*"]
    for name in names:
        one = entry(name, payload=name.encode(), unique=600.0)
        other = entry("b" * 200, payload=name.encode(), unique=600.0, max_retry=1, on_duplicate="replace")
        assert await broker.enqueue([one, other]) == [ACCEPTED, Replaced(name)]
    for name in names:
        info = await get_task(broker, name)
        assert (info.id, info.payload, info.max_retry) == (name, name.encode(), 1)
    assert [lease.message.id for lease in await take(broker, 9)] == names


@pytest.mark.parametrize("payload", [None, b"", bytes(200_000)])
async def test_rule_20_replace_takes_any_payload(broker: Store, payload: bytes | None) -> None:
    await put(broker, unique("a"))
    new = entry("b", payload=payload, by=BY, unique=60.0, on_duplicate="replace")
    assert await broker.enqueue([new]) == [Replaced("a")]
    [held] = await take(broker)
    assert (held.message.id, held.message.payload) == ("a", payload)


async def test_rule_5_replace_notifies_watches_of_the_new_state(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", at=clock.now() + 100))
    with broker.watch([signals.due("default")]) as due:
        await broker.enqueue([unique("b", at=clock.now() + 50, on_duplicate="reschedule")])
        assert await is_notified(due)
    with broker.watch([signals.grouped("default")]) as grouped:
        await broker.enqueue([unique("b", group="g", on_duplicate="replace")])
        assert await is_notified(grouped)
    with broker.watch([signals.pending("default")]) as pending:
        await broker.enqueue([unique("b", on_duplicate="replace")])
        assert await is_notified(pending)


async def test_rule_11_a_merged_task_may_replace_a_waiting_one(broker: Store) -> None:
    await put(broker, unique("digest", b"old"), entry("a", group="g"), entry("b", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    merged = unique("other", b"[1,2]", on_duplicate="replace")
    assert await broker.merge_group(batch, merged) == Replaced("digest")
    assert await broker.find([message.ref for message in batch.messages]) == [None, None]
    [held] = await take(broker, 9)
    assert (held.message.id, held.message.payload) == ("digest", b"[1,2]")
    assert await broker.merge_group(batch, merged) is None
