"""Rule 19: a scan returns every task that stays in its state, whatever other tasks do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound
from asynqio.testing import FakeClock
from tests.builders import aborted, entry, settlement
from tests.conformance.helpers import entry_for, put, put_in_state, state_of, take

S = TaskState
LINE = Where("default", S.PENDING)


async def step(broker: Store, where: Where, after: str, size: int = 3) -> tuple[list[str], str]:
    some, place = await broker.scan(where, after, size)
    assert all(info.state is where.state for info in some)
    return [info.id for info in some], place


async def rest(broker: Store, where: Where, after: str = "", size: int = 3) -> list[str]:
    """The ids of a scan from a cursor to its end."""
    shown, after = await step(broker, where, after, size)
    while after:
        some, after = await step(broker, where, after, size)
        shown += some
    return shown


def refs(ids: Sequence[str]) -> list[TaskRef]:
    return [TaskRef("default", id) for id in ids]


async def fill(broker: Store, count: int) -> list[str]:
    ids = [f"t{number:05}" for number in range(count)]
    await put(broker, *(entry(id) for id in ids))
    return ids


@pytest.mark.parametrize("state", TaskState)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_rule_19_a_scan_returns_the_tasks_of_a_state_in_the_order_of_tasks(
    broker: Store, clock: FakeClock, state: TaskState, size: int
) -> None:
    for number in range(7):
        at = clock.now() + 1000 - number // 2  # some are due at the same time
        one = entry_for(state, f"t{number}", **({"at": at} if state is S.SCHEDULED else {}))
        if state is S.PENDING:
            await put(broker, one)
        else:
            await put_in_state(broker, clock, state, one)
        clock.advance(number % 2)
    where = Where("default", state, "news" if state is S.AGGREGATING else "")
    infos, after = await broker.scan(where, "", 100)
    assert after == ""
    assert infos == await broker.tasks(where, Page(100))
    assert await rest(broker, where, size=size) == [info.id for info in infos]


async def test_an_unknown_queue_is_an_error(broker: Store) -> None:
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.scan(Where("ghost", S.PENDING), "", 3)
    with pytest.raises(QueueNotFound, match="ghost"):
        await broker.group_names("ghost")


@pytest.mark.parametrize("state", TaskState)
async def test_an_invalid_cursor_is_an_error(broker: Store, state: TaskState) -> None:
    await put(broker, entry("a"))
    for nonsense in ("nowhere", "[]", '{"a":1}'):
        with pytest.raises(ValueError, match="not a cursor"):
            await broker.scan(Where("default", state, "g"), nonsense, 3)


async def test_a_scan_of_aggregating_tasks_needs_a_group(broker: Store) -> None:
    await put(broker, entry("a", group="g"))
    with pytest.raises(ValueError, match="one group at a time"):
        await broker.scan(Where("default", S.AGGREGATING), "", 3)
    assert await rest(broker, Where("default", S.AGGREGATING, "other")) == []


# --- changes during a scan ------------------------------------------------------------------------


async def test_rule_19_pending_tasks_are_returned_when_older_ones_are_leased(broker: Store) -> None:
    ids = await fill(broker, 12)
    shown, after = await step(broker, LINE, "", 6)
    await take(broker, 4)  # tasks already returned
    assert shown + await rest(broker, LINE, after) == ids


async def test_rule_19_pending_tasks_are_returned_when_workers_overtake_the_scan(broker: Store) -> None:
    ids = await fill(broker, 12)
    _, after = await step(broker, LINE, "", 3)
    await take(broker, 8)
    assert await rest(broker, LINE, after) == ids[8:]


async def test_rule_19_pending_tasks_are_returned_once_when_others_enter_at_the_front(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, *(entry(f"early{number}") for number in range(4)))
    held = await take(broker, 4)
    ids = await fill(broker, 9)
    shown, after = await step(broker, LINE, "", 4)
    await broker.settle([aborted(one, clock.now()) for one in held])
    await put(broker, entry("late"))
    assert shown + await rest(broker, LINE, after) == [*ids, "late"]


@pytest.mark.parametrize("gone", [[2], [3], [1, 2, 3, 4], [0, 1, 2], [3, 4, 5, 6, 7, 8], list(range(12))])
async def test_rule_19_remaining_tasks_are_returned_whichever_tasks_leave(
    broker: Store, gone: list[int]
) -> None:
    ids = await fill(broker, 12)
    shown, after = await step(broker, LINE, "", 3)
    await broker.move(Action.DELETE, refs([ids[number] for number in gone]))
    assert shown + await rest(broker, LINE, after) == [
        id for number, id in enumerate(ids) if number < 3 or number not in gone
    ]


@pytest.mark.parametrize("order", ["near", "far"])
async def test_rule_19_a_scan_continues_at_its_cursor_in_a_long_queue(
    broker: Store, clock: FakeClock, order: str
) -> None:
    ids = await fill(broker, 5_000)
    shown, after = await step(broker, LINE, "", 200)
    while len(shown) < 3_600:
        some, after = await step(broker, LINE, after, 200)
        shown += some
    held = await take(broker, 100 if order == "near" else 3_200)
    assert shown + await rest(broker, LINE, after, 200) == ids
    # The other direction: the leased tasks are returned.
    shown, after = await step(broker, LINE, "", 200)
    await broker.settle([aborted(one, clock.now()) for one in held])
    assert shown + await rest(broker, LINE, after, 200) == ids[len(held) :]


@pytest.mark.parametrize("state", [S.SCHEDULED, S.RETRY, S.ARCHIVED, S.COMPLETED])
async def test_rule_19_a_cursor_stays_valid_when_its_task_is_deleted(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    for number in range(9):  # all at the same time
        await put_in_state(broker, clock, state, entry_for(state, f"t{number}"))
    where = Where("default", state)
    everyone = await rest(broker, where)
    shown, after = await step(broker, where, "", 4)
    await broker.move(Action.DELETE, refs([everyone[0], everyone[3], everyone[4]]))
    assert shown + await rest(broker, where, after) == [*everyone[:4], *everyone[5:]]


async def test_rule_19_members_of_a_group_are_returned_claimed_or_not(
    broker: Store, clock: FakeClock
) -> None:
    ids = [f"t{number}" for number in range(8)]
    for id in ids:
        await put(broker, entry(id, group="g"), entry(f"x{id}", group="g:x"))
        clock.advance(1)
    where = Where("default", S.AGGREGATING, "g")
    shown, after = await step(broker, where, "", 3)
    claimed = await broker.claim_groups(["default"], GroupRule(grace=0, max_size=5), 2)
    assert claimed.batches
    some, after = await step(broker, where, after, 2)
    assert await broker.group_names("default") == ["g", "g:x"]
    assert shown + some + await rest(broker, where, after) == ids
    # Released: every task was returned, before or after.
    shown, after = await step(broker, where, "", 3)
    clock.advance(121)
    await broker.sweep(["default"], 10)
    assert {*shown, *await rest(broker, where, after)} == set(ids)


async def test_rule_19_running_tasks_are_returned_while_others_start_and_end(
    broker: Store, clock: FakeClock
) -> None:
    ids = await fill(broker, 12)
    held = await take(broker, 10)
    where = Where("default", S.ACTIVE)
    shown, after = await step(broker, where, "", 3)
    await broker.settle([settlement(held[at], now=clock.now()) for at in (0, 2, 3)])
    await take(broker, 2)
    assert shown + await rest(broker, where, after) == [*ids[:3], *ids[4:]]


# --- acting on scanned tasks ----------------------------------------------------------------------


@pytest.mark.parametrize("action", [Action.ARCHIVE, Action.DELETE])
async def test_move_with_a_state_skips_tasks_that_left_it(
    broker: Store, clock: FakeClock, action: Action
) -> None:
    ids = await fill(broker, 6)
    _, after = await step(broker, LINE, "", 2)
    seen, _ = await step(broker, LINE, after, 4)
    await broker.move(Action.ARCHIVE, refs([ids[3]]))
    answers = await broker.move(action, refs([*seen, "ghost"]), state=S.PENDING, near=after)
    D, W = Moved.DONE, Moved.WRONG_STATE
    assert answers == [D, W, D, D, Moved.NOT_FOUND]
    assert await state_of(broker, ids[3]) is S.ARCHIVED
    assert await rest(broker, LINE) == ids[:2]


@pytest.mark.parametrize("taken", [0, 1_500, 3_100])
async def test_many_tasks_are_moved_from_the_middle_of_a_long_queue(
    broker: Store, clock: FakeClock, taken: int
) -> None:
    ids = await fill(broker, 5_000)
    shown, after = await step(broker, LINE, "", 200)
    while len(shown) < 3_000:
        some, after = await step(broker, LINE, after, 200)
        shown += some
    seen = (await step(broker, LINE, after, 200))[0][::2]
    held = await take(broker, taken) if taken else []
    answers = await broker.move(Action.DELETE, refs(seen), state=S.PENDING, near=after)
    running = {one.message.id for one in held}
    assert answers == [Moved.WRONG_STATE if id in running else Moved.DONE for id in seen]
    left = [id for id in ids if id not in running and id not in seen]
    assert await rest(broker, LINE, size=200) == left
    # Tasks that entered at the front meanwhile are found too.
    await broker.settle([aborted(one, clock.now()) for one in held])
    again = [one.message.id for one in held[-3:]]
    assert await broker.move(Action.DELETE, refs(again), state=S.PENDING, near=after) == [Moved.DONE] * len(
        again
    )
    [stats] = await broker.stats(["default"])
    assert stats.pending == len(left) + len(held) - len(again)
