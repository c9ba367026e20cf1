"""Rules 3 and 16: until when a lock is held, and what becomes of an entry that meets one."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Moved, Output, Replaced
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import UniqueUntil, unique_key
from asynqio.testing import FakeClock
from tests.builders import aborted, archived, entry, failed, settlement
from tests.conformance.looks import (
    bring,
    entry_for,
    ids,
    locked,
    look,
    picture,
    put,
    see,
    state_of,
    take,
    woken,
)

ACCEPTED, DUPLICATE, ID_CONFLICT = Admission.ACCEPTED, Admission.DUPLICATE, Admission.ID_CONFLICT
WAITING = [TaskState.PENDING, TaskState.SCHEDULED, TaskState.RETRY, TaskState.AGGREGATING]
#: By a text, so that entries with different payloads are duplicates of each other.
BY = b"one of these"


def unique(id: str, payload: bytes = b"new", **more: Any) -> Entry:
    return entry(id, payload=payload, by=BY, **{"unique": 600.0, **more})


def holder(state: TaskState, **more: Any) -> Entry:
    """An entry that `bring` can bring into `state`, and that holds the lock."""
    return entry_for(state, "holder", payload=b"old", by=BY, unique=600.0, **more)


# --- until when -----------------------------------------------------------------------------------


async def test_rule_20_until_started_the_next_one_waits_behind_the_one_that_runs(broker: Store) -> None:
    # Given a task whose lock is free when it starts
    await put(broker, unique("a", until="started"))
    assert await broker.enqueue([unique("b", until="started")]) == [DUPLICATE]
    # When a worker takes it
    [held] = await take(broker)
    assert held.message.unique_until is UniqueUntil.STARTED
    # Then another one may wait, and holds the lock, also when the first one ends
    assert await broker.enqueue([unique("c", until="started"), unique("d")]) == [ACCEPTED, DUPLICATE]
    assert await broker.settle([settlement(held)]) == [True]
    assert await broker.enqueue([unique("e")]) == [DUPLICATE]


async def test_rule_20_until_started_a_task_that_is_retried_holds_no_lock(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", until="started"))
    [held] = await take(broker)
    await broker.settle([failed(held, clock.now())])
    clock.advance(60)
    await broker.forward(["default"], 9)
    assert (await see(broker, "a")).unique_until is UniqueUntil.STARTED
    await put(broker, unique("b", until="started"))


async def test_rule_20_of_several_tasks_taken_at_once_only_those_that_say_so_free_their_lock(
    broker: Store,
) -> None:
    await put(broker, unique("a", until="started"), entry("b", unique=600.0), entry("c"))
    await take(broker, 3)
    assert not await locked(broker, entry(payload=BY, unique=1.0))
    assert await locked(broker, entry(unique=1.0))


@pytest.mark.parametrize("until", ["finished", "started", "ended", "expired"])
async def test_rule_20_every_lock_is_free_when_its_time_is_over(
    broker: Store, clock: FakeClock, until: str
) -> None:
    await put(broker, unique("a", until=until, unique=60.0))
    clock.advance(59)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b")]) == [ACCEPTED]
    # and the next one is as good as the first
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


@pytest.mark.parametrize("until", ["finished", "started", "ended"])
@pytest.mark.parametrize("retention", [0.0, 3600.0], ids=["gone", "completed"])
async def test_rule_20_a_task_that_is_done_frees_its_own_lock(
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
async def test_rule_20_a_throttle_is_held_for_its_time_whatever_becomes_of_the_task(
    broker: Store, clock: FakeClock, end: Any
) -> None:
    start = clock.now()
    retention = 3600.0 if end is _completed_and_swept else 0.0
    await put(broker, unique("a", until="expired", unique=7200.0, retention=retention))
    assert (await see(broker, "a")).unique_key == "", "the lock is not the task's own"
    await end(broker, clock)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    assert await broker.enqueue([unique("b", on_duplicate="replace")]) == [DUPLICATE]
    clock.advance(start + 7199 - clock.now())
    assert await broker.enqueue([unique("b", until="expired")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b", until="expired")]) == [ACCEPTED]
    # The id may be used again meanwhile, and that changes nothing
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_a_throttle_that_was_swept_is_over(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="expired", unique=60.0))
    clock.advance(59)
    await broker.sweep(["default"], 9)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    await broker.sweep(["default"], 9)
    await put(broker, unique("b", unique=60.0))
    await broker.sweep(["default"], 9)
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_a_throttle_is_not_its_namesakes(broker: Store, clock: FakeClock) -> None:
    # Given the throttle of a task that is gone
    await put(broker, unique("a", until="expired", unique=60.0))
    await _done(broker, clock)
    # When another task of its id has a longer lock of its own, and ends
    await put(broker, entry("a", payload=b"other", unique=600.0))
    clock.advance(59)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    await _done(broker, clock)
    # Then the throttle ends when it would have
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([unique("b")]) == [ACCEPTED]


async def test_rule_20_a_dropped_queue_takes_its_throttles_along(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", until="expired"))
    await _done(broker, clock)
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []
    await put(broker, unique("b"))


@pytest.mark.parametrize("until", ["started", "ended"])
@pytest.mark.parametrize("way", [_archived, _moved_to_the_archive])
async def test_b06_a_task_that_says_so_frees_its_lock_when_it_is_archived(
    broker: Store, clock: FakeClock, until: str, way: Any
) -> None:
    await put(broker, unique("a", until=until))
    await way(broker, clock)
    assert (await see(broker, "a")).state is TaskState.ARCHIVED
    await put(broker, unique("b"))
    # The lock is the other's now
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


@pytest.mark.parametrize("way", [_archived, _moved_to_the_archive])
async def test_rule_20_as_in_go_a_lock_is_else_kept_by_the_archive(
    broker: Store, clock: FakeClock, way: Any
) -> None:
    await put(broker, unique("a"))
    await way(broker, clock)
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]


async def test_rule_20_a_lock_by_a_text_does_not_move_with_the_payload(broker: Store) -> None:
    await put(broker, unique("a"))
    assert (await see(broker, "a")).unique_key == unique_key("default", "email:send", BY)
    assert await broker.rewrite({TaskRef("default", "a"): b"rewritten"}) == [Moved.DONE]
    assert await broker.enqueue([unique("b")]) == [DUPLICATE]
    assert await broker.enqueue([entry("c", payload=b"rewritten", unique=60.0)]) == [ACCEPTED]


# --- a duplicate changes the one that waits -------------------------------------------------------


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_replacing_makes_the_waiting_task_what_the_entry_is(
    broker: Store, clock: FakeClock, state: TaskState, later: bool
) -> None:
    # Given a task that waits
    await bring(broker, clock, state, holder(state))
    # When a duplicate replaces it
    at = clock.now() + 100 if later else 0.0
    new = unique("b", at=at, headers={"k": "v"}, max_retry=3, on_duplicate="replace")
    assert await broker.enqueue([new]) == [Replaced("holder")]
    # Then it has everything of the new one, and its own id
    info = await see(broker, "holder")
    expected = TaskState.SCHEDULED if later else TaskState.PENDING
    assert (info.state, info.payload, info.headers, info.max_retry) == (expected, b"new", {"k": "v"}, 3)
    assert (info.retried, info.last_error, info.group) == (0, "", "")
    assert info.next_process_at == (at if later else clock.now())
    assert await look(broker, "b") is None
    [stats] = await broker.stats(["default"])
    assert (stats.size, stats.groups) == (1, 0)
    await picture(broker)
    # and it runs once
    clock.advance(100)
    await broker.forward(["default"], 9)
    [held] = await take(broker, 5)
    assert (held.message.id, held.message.payload) == ("holder", b"new")
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert not await locked(broker, entry(payload=BY, unique=1.0))


@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_replacing_puts_the_waiting_task_into_the_new_ones_group(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await bring(broker, clock, state, holder(state))
    assert await broker.enqueue([unique("b", group="weather", on_duplicate="replace")]) == [
        Replaced("holder")
    ]
    assert await state_of(broker, "holder") is TaskState.AGGREGATING
    assert [(group.group, group.size) for group in await broker.groups("default")] == [("weather", 1)]
    await picture(broker)
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    assert [(one.id, one.payload) for one in batch.messages] == [("holder", b"new")]


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize("state", WAITING)
async def test_rule_20_rescheduling_moves_nothing_but_the_due_time(
    broker: Store, clock: FakeClock, state: TaskState, later: bool
) -> None:
    await bring(broker, clock, state, holder(state, headers={"old": "1"}))
    before = await see(broker, "holder")
    at = clock.now() + 100 if later else 0.0
    new = unique("b", at=at, max_retry=3, on_duplicate="reschedule")
    assert await broker.enqueue([new]) == [Replaced("holder")]
    info = await see(broker, "holder")
    if later:
        expected = TaskState.RETRY if state is TaskState.RETRY else TaskState.SCHEDULED
    else:
        expected = TaskState.AGGREGATING if state is TaskState.AGGREGATING else TaskState.PENDING
    assert info.state is expected
    for name in ("payload", "headers", "max_retry", "retried", "last_error", "group", "id", "unique_key"):
        assert getattr(info, name) == getattr(before, name), name
    if later:
        assert info.next_process_at == at
    assert await look(broker, "b") is None
    await picture(broker)


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_a_debounced_task_runs_once_with_what_came_last_when_it_is_quiet(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    # Given ten calls, a second apart, each of which puts the task off by 5 s
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
    # Then it is due 5 s after the last, and carries the last payload or the first
    clock.advance(4)
    assert (await broker.forward(["default"], 9)).moved == 1
    [held] = await take(broker, 9)
    assert held.message.payload == (b"9" if on_duplicate == "replace" else b"0")


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_changing_the_holder_makes_the_lock_last_anew(
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
async def test_rule_20_who_stays_pending_keeps_its_place_in_line(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    await put(broker, unique("a", b"old"), entry("b"))
    clock.advance(5)
    assert await broker.enqueue([unique("c", on_duplicate=on_duplicate)]) == [Replaced("a")]
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]
    assert (await see(broker, "a")).pending_since == clock.now() - 5


async def test_rule_20_who_stays_in_its_group_is_as_old_as_it_was(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old", group="g"))
    start = clock.now()
    clock.advance(5)
    assert await broker.enqueue([unique("b", group="g", on_duplicate="replace")]) == [Replaced("a")]
    [group] = await broker.groups("default")
    assert (group.size, group.oldest_at, group.newest_at) == (1, start, start)


async def test_rule_20_replacing_forgets_what_earlier_attempts_left(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    await broker.write_output([Output(held, b"half", b"50")])
    await broker.settle([failed(held, clock.now())])
    await broker.enqueue([unique("b", until="ended", on_duplicate="replace")])
    info = await see(broker, "a")
    assert (info.result, info.progress, info.retried, info.crashes) == (None, None, 0, 0)
    assert info.unique_until is UniqueUntil.ENDED


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_rule_20_behind_a_holder_that_runs_the_new_task_waits_and_takes_over_the_lock(
    broker: Store, clock: FakeClock, on_duplicate: str
) -> None:
    # Given a holder that runs
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    # When a duplicate comes, and another
    answers = await broker.enqueue(
        [
            unique("b", b"1", on_duplicate=on_duplicate),
            unique("c", b"2", on_duplicate=on_duplicate),
            unique("d"),
        ]
    )
    # Then the first waits behind, and the others meet that one
    assert answers == [ACCEPTED, Replaced("b"), DUPLICATE]
    assert await ids(broker, TaskState.PENDING) == ["b"]
    # and the one that runs goes on undisturbed, and does not free what is not its own any more
    assert held.message.payload == b"old"
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert await broker.enqueue([unique("e")]) == [DUPLICATE]
    assert (await see(broker, "b")).payload == (b"2" if on_duplicate == "replace" else b"1")


async def test_rule_20_behind_a_handed_back_holder_there_are_two(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old"))
    [held] = await take(broker)
    await put(broker, unique("b", on_duplicate="replace"))
    await broker.settle([aborted(held, clock.now())])
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]


async def test_rule_20_an_archived_holder_is_left_and_the_new_task_takes_over_the_lock(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a"))
    await _archived(broker, clock)
    assert await broker.enqueue([unique("b", on_duplicate="replace")]) == [ACCEPTED]
    assert await state_of(broker, "a") is TaskState.ARCHIVED
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    assert await broker.enqueue([unique("c")]) == [DUPLICATE]


async def test_rule_20_a_member_of_a_claimed_batch_is_not_changed(broker: Store, clock: FakeClock) -> None:
    await put(broker, unique("a", b"old", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    assert await broker.enqueue([unique("b", group="g", on_duplicate="replace")]) == [ACCEPTED]
    assert (await see(broker, "a")).payload == b"old"
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
    assert (await see(broker, "a")).payload == b"4"
    assert await ids(broker, TaskState.SCHEDULED) == []


async def test_rule_20_who_is_moved_to_the_end_stands_before_those_who_came_after_it_in_the_same_batch(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", at=clock.now() + 100))
    answers = await broker.enqueue([entry("b"), unique("c", on_duplicate="reschedule"), entry("d")])
    assert answers == [ACCEPTED, Replaced("a"), ACCEPTED]
    assert await ids(broker, TaskState.PENDING) == ["b", "a", "d"]


async def test_rule_20_an_id_that_is_taken_does_not_matter_to_who_only_changes_another(
    broker: Store,
) -> None:
    await put(broker, unique("a"), entry("taken"))
    assert await broker.enqueue([unique("taken", on_duplicate="replace")]) == [Replaced("a")]
    assert (await see(broker, "taken")).payload == b'{"to":"ann"}'


async def test_rule_3_who_takes_over_with_an_id_that_is_taken_leaves_no_trace(broker: Store) -> None:
    await put(broker, unique("a"), entry("taken"))
    [held] = await take(broker)
    before = await picture(broker)
    assert await broker.enqueue([unique("taken", on_duplicate="replace")]) == [ID_CONFLICT]
    assert await picture(broker) == before
    await broker.settle([settlement(held)])
    assert not await locked(broker, entry(payload=BY, unique=1.0))


async def test_rule_20_long_and_strange_ids_survive_replacing(broker: Store) -> None:
    names = ["ü" * 100, "x" * 127, "y" * 128, "z" * 255, "{a}: *漢*"]
    for name in names:
        one = entry(name, payload=name.encode(), unique=600.0)
        other = entry("b" * 200, payload=name.encode(), unique=600.0, max_retry=1, on_duplicate="replace")
        assert await broker.enqueue([one, other]) == [ACCEPTED, Replaced(name)]
    for name in names:
        info = await see(broker, name)
        assert (info.id, info.payload, info.max_retry) == (name, name.encode(), 1)
    assert [lease.message.id for lease in await take(broker, 9)] == names


@pytest.mark.parametrize("payload", [None, b"", bytes(200_000)])
async def test_rule_20_any_payload_can_replace(broker: Store, payload: bytes | None) -> None:
    await put(broker, unique("a"))
    new = entry("b", payload=payload, by=BY, unique=60.0, on_duplicate="replace")
    assert await broker.enqueue([new]) == [Replaced("a")]
    [held] = await take(broker)
    assert (held.message.id, held.message.payload) == ("a", payload)


async def test_rule_5_replacing_wakes_those_who_wait_for_where_it_goes(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", at=clock.now() + 100))
    with broker.watch([signals.due("default")]) as due:
        await broker.enqueue([unique("b", at=clock.now() + 50, on_duplicate="reschedule")])
        assert await woken(due)
    with broker.watch([signals.grouped("default")]) as grouped:
        await broker.enqueue([unique("b", group="g", on_duplicate="replace")])
        assert await woken(grouped)
    with broker.watch([signals.pending("default")]) as pending:
        await broker.enqueue([unique("b", on_duplicate="replace")])
        assert await woken(pending)


async def test_rule_11_a_merged_task_may_replace_one_that_waits(broker: Store) -> None:
    await put(broker, unique("digest", b"old"), entry("a", group="g"), entry("b", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    merged = unique("other", b"[1,2]", on_duplicate="replace")
    assert await broker.merge_group(batch, merged) == Replaced("digest")
    assert await broker.find([message.ref for message in batch.messages]) == [None, None]
    [held] = await take(broker, 9)
    assert (held.message.id, held.message.payload) == ("digest", b"[1,2]")
    assert await broker.merge_group(batch, merged) is None


# --- an id whose task is over ---------------------------------------------------------------------


@pytest.mark.parametrize("state", list(TaskState))
async def test_b06_a_task_that_says_so_takes_the_place_of_one_that_is_over(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await bring(broker, clock, state, entry_for(state, "a", payload=b"old"))
    over = state in (TaskState.COMPLETED, TaskState.ARCHIVED)
    before = await picture(broker)
    answer = await broker.enqueue([entry("a", payload=b"new", replace_finished=True)])
    assert answer == [ACCEPTED if over else ID_CONFLICT]
    if over:
        info = await see(broker, "a")
        assert (info.state, info.payload, info.result, info.last_error) == (
            TaskState.PENDING,
            b"new",
            None,
            "",
        )
        [stats] = await broker.stats(["default"])
        assert (stats.size, stats.pending) == (1, 1)
    else:
        assert await picture(broker) == before


async def test_b06_replacing_one_that_is_over_frees_its_lock(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", payload=b"old", unique=600.0))
    await _archived(broker, clock)
    old = entry(payload=b"old", unique=1.0)
    assert await locked(broker, old)
    assert await broker.enqueue([entry("a", payload=b"new", unique=600.0, replace_finished=True)]) == [
        ACCEPTED
    ]
    assert not await locked(broker, old)
    assert await locked(broker, entry(payload=b"new", unique=1.0))


async def test_b06_a_task_that_is_over_is_no_duplicate_of_the_one_in_its_place(
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


async def test_b06_a_throttle_holds_also_against_the_task_of_its_own_id(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, unique("a", until="expired"))
    await _archived(broker, clock)
    before = await picture(broker)
    assert await broker.enqueue([unique("a", until="expired", replace_finished=True)]) == [DUPLICATE]
    assert await picture(broker) == before


async def test_b06_a_refused_duplicate_leaves_what_is_over_where_it_is(
    broker: Store, clock: FakeClock
) -> None:
    await bring(broker, clock, TaskState.COMPLETED, entry("a", retention=60.0))
    await put(broker, unique("holder"))
    before = await picture(broker)
    assert await broker.enqueue([unique("a", replace_finished=True)]) == [DUPLICATE]
    assert await picture(broker) == before
