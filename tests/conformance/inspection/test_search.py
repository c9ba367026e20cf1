"""Search and bulk actions of the Inspector, on every broker."""

from __future__ import annotations

import json

import pytest

from asynqio import Applied, Filter, Inspector
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskState
from asynqio.errors import QueueNotFound
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import entry_for, ids, put, put_in_state, take

S = TaskState


async def fill(broker: Store, count: int) -> list[str]:
    """Tasks, every tenth of which belongs to customer 7."""
    names = [f"t{number:04}" for number in range(count)]
    payloads = [json.dumps({"customer": {"id": 7 if number % 10 == 0 else 1}}) for number in range(count)]
    await put(broker, *(entry(id, payload=text.encode()) for id, text in zip(names, payloads, strict=True)))
    return names


SEVEN = Filter(payload={"customer.id": 7})


async def test_search_finds_matching_tasks_and_reports_progress(broker: Store) -> None:
    names = await fill(broker, 450)
    reports: list[Applied] = []
    inspector = Inspector(broker)
    found = [
        info.id async for info in inspector.search("default", S.PENDING, SEVEN, on_progress=reports.append)
    ]
    assert found == names[::10]
    assert [one.seen for one in reports] == sorted(one.seen for one in reports)
    assert reports[-1] == Applied(450, 45, 0)
    assert len(reports) >= 3
    some = [info.id async for info in inspector.search("default", S.PENDING, SEVEN, limit=3)]
    assert some == names[:30:10]
    assert [info async for info in inspector.search("default", S.PENDING, limit=0)] == []
    assert len([info async for info in inspector.search("default", S.PENDING)]) == 450


async def test_search_continues_while_tasks_are_leased(broker: Store) -> None:
    names = await fill(broker, 600)
    found = []
    async for info in Inspector(broker).search("default", S.PENDING, SEVEN):
        found.append(info.id)
        if len(found) == 5:
            await take(broker, 150)
    assert found == names[::10]


async def test_search_covers_all_groups_or_one(broker: Store, clock: FakeClock) -> None:
    for number in range(6):
        await put(broker, entry(f"t{number}", group=f"g{number % 2}"))
        clock.advance(1)
    inspector = Inspector(broker)
    assert [info.id async for info in inspector.search("default", S.AGGREGATING)] == [
        *("t0", "t2", "t4"),
        *("t1", "t3", "t5"),
    ]
    assert [info.id async for info in inspector.search("default", S.AGGREGATING, group="g1")] == [
        "t1",
        "t3",
        "t5",
    ]


async def test_search_in_an_unknown_queue_is_an_error(broker: Store) -> None:
    with pytest.raises(QueueNotFound):
        await anext(aiter(Inspector(broker).search("ghost", S.PENDING)))
    with pytest.raises(QueueNotFound):
        await Inspector(broker).apply(Action.RUN, "ghost", S.AGGREGATING, SEVEN)


@pytest.mark.parametrize("action", [Action.DELETE, Action.ARCHIVE])
async def test_only_matching_tasks_are_acted_on(broker: Store, action: Action) -> None:
    names = await fill(broker, 2_500)
    reports: list[Applied] = []
    applied = await Inspector(broker).apply(action, "default", S.PENDING, SEVEN, on_progress=reports.append)
    assert applied == reports[-1] == Applied(2_500, 250, 250)
    assert await ids(broker, S.PENDING) == [id for number, id in enumerate(names) if number % 10]
    assert len(await ids(broker, S.ARCHIVED)) == (250 if action is Action.ARCHIVE else 0)


async def test_at_most_limit_tasks_are_acted_on(broker: Store) -> None:
    names = await fill(broker, 450)
    applied = await Inspector(broker).apply(Action.DELETE, "default", S.PENDING, SEVEN, limit=22)
    assert (applied.matched, applied.done) == (22, 22)
    assert await ids(broker, S.PENDING) == [
        id for number, id in enumerate(names) if number % 10 or number >= 220
    ]
    assert await Inspector(broker).apply(Action.DELETE, "default", S.PENDING, limit=0) == Applied()


@pytest.mark.parametrize("state", [state for state in TaskState if state is not S.ACTIVE])
async def test_a_whole_state_can_be_acted_on(broker: Store, clock: FakeClock, state: TaskState) -> None:
    for number in range(5):
        one = entry_for(state, f"t{number}")
        if state is S.PENDING:
            await put(broker, one)
        else:
            await put_in_state(broker, clock, state, one)
    inspector = Inspector(broker)
    some = await inspector.apply(Action.DELETE, "default", state, limit=2)
    assert some.done == 2
    assert await inspector.apply(Action.DELETE, "default", state, on_progress=lambda _: None) == Applied(
        3, 3, 3
    )
    assert await inspector.apply(Action.DELETE, "default", state) == Applied(0, 0, 0)
    [stats] = await broker.stats(["default"])
    assert stats.size == 0


async def test_an_action_that_the_state_forbids_changes_nothing(broker: Store) -> None:
    await fill(broker, 3)
    assert (await Inspector(broker).apply(Action.RUN, "default", S.PENDING, SEVEN)).done == 0


async def test_archived_tasks_run_again_in_listed_order(broker: Store, clock: FakeClock) -> None:
    for number in range(4):
        await put_in_state(broker, clock, S.ARCHIVED, entry(f"t{number}", type=f"kind:{number % 2}"))
        clock.advance(1)
    applied = await Inspector(broker).apply(Action.RUN, "default", S.ARCHIVED, Filter(type="*:1"))
    assert applied == Applied(4, 2, 2)
    assert sorted(await ids(broker, S.PENDING)) == ["t1", "t3"]
