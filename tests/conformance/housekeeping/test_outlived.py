"""Rule 21: a task that has outlived its retention, or the age of the archive, counts as deleted before any sweep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from asynqio import Client, Inspector
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.limits import ARCHIVE_AGE
from asynqio.brokers.contract.results import Admission, Fired, Moved
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import Fire
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import TaskNotFound
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import find_task, get_task, ids, is_locked, put, put_in_state, state_of

RETENTION = 60.0
#: The states of finished tasks, and for how many seconds they are kept.
KEPT = {TaskState.COMPLETED: RETENTION, TaskState.ARCHIVED: ARCHIVE_AGE}
A = TaskRef("default", "a")


@pytest.fixture(params=KEPT)
def state(request: pytest.FixtureRequest) -> TaskState:
    return TaskState(request.param)


async def outlive(broker: Store, clock: FakeClock, state: TaskState, one: Entry) -> None:
    """Finish the task of an entry, and advance the clock until it counts as deleted. No sweep runs."""
    await put_in_state(broker, clock, state, one)
    clock.advance(KEPT[state] - 1)
    assert await state_of(broker, one.message.id, one.message.queue) is state
    clock.advance(1)


async def test_rule_21_no_read_shows_it(broker: Store, clock: FakeClock, state: TaskState) -> None:
    await outlive(broker, clock, state, entry("a", retention=RETENTION))
    assert await find_task(broker, "a") is None
    assert await broker.attempts([A]) == [[]]
    assert await ids(broker, state) == []
    assert (await broker.scan(Where("default", state), "", 10)).infos == []
    inspector = Inspector(broker)
    assert [info async for info in inspector.search("default", state)] == []
    with pytest.raises(TaskNotFound):
        await inspector.find("a")
    assert "deleted" in str(await inspector.explain("a"))
    with pytest.raises(TaskNotFound):
        await Client(broker).wait("a", timeout=10)


async def test_rule_21_newer_tasks_are_still_listed(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, entry("old", retention=RETENTION))
    clock.advance(1)
    await put_in_state(broker, clock, state, entry("new", retention=RETENTION))
    assert await ids(broker, state) == ["new", "old"]
    clock.advance(KEPT[state] - 1)
    assert await ids(broker, state) == ["new"]
    assert [info.id for info in (await broker.scan(Where("default", state), "", 10)).infos] == ["new"]


async def test_rule_21_its_id_is_free(broker: Store, clock: FakeClock, state: TaskState) -> None:
    await outlive(broker, clock, state, entry("a", payload=b"old", retention=RETENTION))
    await put(broker, entry("a", payload=b"new"))
    found = await get_task(broker, "a")
    assert (found.state, found.payload, found.result) == (TaskState.PENDING, b"new", None)
    assert [await broker.sweep(["default"], 10)][0].deleted == 0
    [stats] = await broker.stats(["default"])
    assert (stats.pending, stats.completed, stats.archived) == (1, 0, 0)


async def test_rule_21_replacing_it_is_enqueueing(broker: Store, clock: FakeClock, state: TaskState) -> None:
    await outlive(broker, clock, state, entry("a", retention=RETENTION, unique=1e9))
    await put(broker, entry("a", payload=b"new", replace_finished=True, unique=1e9))
    assert (await get_task(broker, "a")).payload == b"new"


async def merge(broker: Store, one: Entry) -> object:
    await put(broker, entry("member", group="g"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 1)).batches
    return await broker.merge_group(batch, one)


async def fire(broker: Store, one: Entry) -> object:
    return await broker.fire([Fire("hourly", 60.0, one)])


async def transfer(broker: Store, one: Entry) -> object:
    other = entry(one.message.id, queue="other")
    await put(broker, other)
    return await broker.transfer([other.message.ref], "default")


@pytest.mark.parametrize(
    ("admit", "answer"),
    [(merge, Admission.ACCEPTED), (fire, [Fired(Admission.ACCEPTED)]), (transfer, [Moved.DONE])],
)
async def test_rule_21_its_id_is_free_for_every_way_into_the_queue(
    broker: Store,
    clock: FakeClock,
    state: TaskState,
    admit: Callable[[Store, Entry], Awaitable[object]],
    answer: object,
) -> None:
    await outlive(broker, clock, state, entry("a", retention=RETENTION))
    assert await admit(broker, entry("a")) == answer
    assert await state_of(broker, "a") is TaskState.PENDING
    [stats] = await broker.stats(["default"])
    assert (stats.pending, stats.completed, stats.archived) == (1, 0, 0)


@pytest.mark.parametrize("on_duplicate", ["reject", "replace", "reschedule"])
async def test_rule_21_its_lock_is_free(broker: Store, clock: FakeClock, on_duplicate: str) -> None:
    # Given an archived task that holds its lock
    held = entry("a", unique=1e9)
    await put_in_state(broker, clock, TaskState.ARCHIVED, held)
    clock.advance(ARCHIVE_AGE - 1)
    assert await is_locked(broker, held)
    [holder] = [await broker.lock_holder("default", held.lock)]
    assert holder is not None
    assert holder.id == "a"
    # When it gets too old
    clock.advance(1)
    # Then another task can take the lock, and keeps it when the old one is swept
    assert await broker.lock_holder("default", held.lock) is None
    await put(broker, entry("b", unique=1e9, on_duplicate=on_duplicate))
    await broker.sweep(["default"], 10)
    assert await is_locked(broker, held)
    [holder] = [await broker.lock_holder("default", held.lock)]
    assert holder is not None
    assert holder.id == "b"


async def test_rule_21_a_throttle_ends_with_time_only(broker: Store, clock: FakeClock) -> None:
    throttled = entry("a", until="expired", unique=1e9, retention=RETENTION)
    await outlive(broker, clock, TaskState.COMPLETED, throttled)
    assert await broker.enqueue([entry("b", until="expired", unique=1e9)]) == [Admission.DUPLICATE]
    assert await broker.enqueue([entry("a", until="expired", unique=1e9)]) == [Admission.DUPLICATE]


async def test_rule_21_operator_actions_do_not_find_it(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await outlive(broker, clock, state, entry("a", retention=RETENTION))
    for action in Action:
        assert await broker.move(action, [A]) == [Moved.NOT_FOUND]
    assert await broker.move_all(Action.DELETE, Where("default", state)) == 0
    assert await broker.transfer([A], "other") == [Moved.NOT_FOUND]
    assert await broker.rewrite({A: b"new"}) == [Moved.NOT_FOUND]


async def test_rule_21_the_sweep_deletes_and_counts_it(broker: Store, clock: FakeClock) -> None:
    await outlive(broker, clock, TaskState.COMPLETED, entry("a", retention=RETENTION))
    [stats] = await broker.stats(["default"])
    assert stats.completed == 1  # stats count what is stored
    assert (await broker.sweep(["default"], 10)).deleted == 1
    [stats] = await broker.stats(["default"])
    assert stats.completed == 0
