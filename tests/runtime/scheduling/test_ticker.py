"""The ticker on a fake clock: tests call `once` themselves and never wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest

from asynqio import DuplicateTask, EntryNotFound, ScheduleEntry, Task, TaskInfo, TaskState
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Fired
from asynqio.core.schedules.firing import Fire, ScheduleState
from asynqio.core.schedules.misfire import Missed
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.scheduling.hooks import Hooks
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.ticker import MAX_REST, REGISTER_INTERVAL, Ticker
from asynqio.testing import FakeClock, Flaky
from tests.runtime.scheduling.ticking import HOUR, count, every, ticker, to

# --- ticks ----------------------------------------------------------------------------------------


async def test_each_tick_enqueues_one_task_and_none_early(broker: Store, clock: FakeClock) -> None:
    one = await ticker(broker, every())
    await to(clock, 59.999, one)
    assert await count(broker) == 0
    await to(clock, 60, one)
    assert await count(broker) == 1
    await one.once()
    await to(clock, 119, one)
    assert await count(broker) == 1
    await to(clock, 120, one)
    assert await count(broker) == 2
    [event, _] = await broker.fires("x", Page())
    assert event.at == HOUR + 120
    [info] = await broker.find([TaskRef("default", event.task_id)])
    assert info is not None
    assert info.headers == {"asynqio-schedule": "x", "asynqio-tick": f"{HOUR + 120:.0f}"}
    assert {info.id for info in await broker.tasks(Where("default", TaskState.PENDING), Page())} >= {
        event.task_id
    }


async def test_it_sleeps_until_the_next_tick(memory: Store, clock: FakeClock) -> None:
    one = await ticker(memory, every("@every 1m"), every("@every 1h", name="y"))
    assert await one.once() == MAX_REST, "never longer: the clock may be set"
    clock.advance(59.25)
    assert await one.once() == pytest.approx(0.501)


async def test_three_schedulers_enqueue_one_task_per_tick(broker: Store, clock: FakeClock) -> None:
    entries = [every(name=f"s{number}", queue=f"q{number % 2}") for number in range(10)]
    three = [await ticker(broker, *entries) for _ in range(3)]
    for minute in range(1, 4):
        clock.advance(HOUR + minute * 60 - clock.now())
        await asyncio.gather(*(one.once() for one in three))
    assert await count(broker, "q0") + await count(broker, "q1") == 30


async def test_a_later_scheduler_continues_where_the_others_were(broker: Store, clock: FakeClock) -> None:
    first = await ticker(broker, every())
    await to(clock, 60, first)
    second = await ticker(broker, every())
    await to(clock, 65, second, first)
    assert await count(broker) == 1
    assert second.info().entries[0].prev_at == HOUR + 60
    await to(clock, 120, second, first)
    assert await count(broker) == 2


async def test_entries_of_several_queues_are_one_call_each(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    one = await ticker(flaky.broker, *(every(name=f"s{n}", queue=f"q{n % 3}") for n in range(30)))
    flaky.calls.clear()
    await to(clock, 60, one)
    assert (flaky.calls["fire"], flaky.calls["record"]) == (3, 3)
    assert flaky.calls.get("meet", 0) <= 3
    flaky.calls.clear()
    await to(clock, 61, one)
    assert flaky.calls == {}, "a queue with nothing due is not called"


# --- missed ticks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("missed", "made_up"), [("skip", 0), ("once", 1), (3, 3), (100, 9)])
async def test_ticks_missed_without_a_scheduler_follow_the_missed_option(
    broker: Store, clock: FakeClock, missed: Missed, made_up: int
) -> None:
    first = await ticker(broker, every(missed=missed))
    await to(clock, 60, first)
    await first.close()
    clock.advance(HOUR + 630 - clock.now())  # nine ticks later, and then some
    second = await ticker(broker, every(missed=missed))
    await second.once()
    assert await count(broker) == 1 + made_up
    await first.once()
    await second.once()
    assert await count(broker) == 1 + made_up, "they are fired once"
    await to(clock, 660, second)
    assert await count(broker) == 2 + made_up


async def test_a_tick_that_is_a_little_late_is_not_missed(broker: Store, clock: FakeClock) -> None:
    first = await ticker(broker, every(missed="skip"))
    await first.close()
    clock.advance(HOUR + 70 - clock.now())
    second = await ticker(broker, every(missed="skip"))
    await second.once()
    assert await count(broker) == 1


async def test_a_new_entry_has_no_past(broker: Store, clock: FakeClock) -> None:
    one = await ticker(broker, every("0 0 * * *", 100))
    await one.once()
    assert await count(broker) == 0


async def test_ticks_during_a_pause_are_not_fired_later(broker: Store, clock: FakeClock) -> None:
    one = await ticker(broker, every(missed=100))
    await broker.pause_schedule("default", "x", True)
    for minute in range(1, 5):
        await to(clock, minute * 60, one)
    assert await count(broker) == 0
    assert one.info().entries[0].paused
    clock.advance(1000)
    await broker.pause_schedule("default", "x", False)
    clock.advance(20)
    second = await ticker(broker, every(missed=100))
    for scheduler in (one, second):
        await scheduler.once()
    assert await count(broker) <= 1  # the one tick since it goes on, if there was one
    await to(clock, 3600, second, one)
    assert not one.info().entries[0].paused


async def test_an_unavailable_store_costs_no_tick(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    broker = flaky.broker
    one = await ticker(broker, every(missed="once"))
    flaky.fail()
    for second in (60, 120, 180):
        with pytest.raises(BrokerUnavailable, match="requested by the test"):  # publishing its info fails too
            await to(clock, second, one)
    flaky.recover()
    await to(clock, 182, one)
    assert await count(broker) == 2, "one for those that were missed, and the one that is still on time"


async def test_a_lost_reply_enqueues_nothing_twice(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    one = await ticker(flaky.broker, every())
    flaky.fail(1, "fire", after=True)
    await to(clock, 60, one)
    await to(clock, 61, one)
    assert await count(flaky.broker) == 1


async def test_events_that_cannot_be_recorded_cost_no_task(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    one = await ticker(flaky.broker, every())
    flaky.fail(1, "record")
    await to(clock, 60, one)
    assert await count(flaky.broker) == 1
    assert "could not be recorded" in caplog.text


class HalfUnavailable:
    """A store in which one queue does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.unavailable = True

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        self._ask(fires[0].entry.message.queue)
        return await self._store.fire(fires)

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        self._ask(queue)
        return await self._store.register_schedules(queue, ids)

    def _ask(self, queue: str) -> None:
        if self.unavailable and queue == "away":
            raise BrokerUnavailable("its master is down")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_an_unavailable_queue_stays_due_and_does_not_affect_others(
    memory: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    half = HalfUnavailable(memory)
    half.unavailable = False
    one = await ticker(cast("Store", half), every(name="a", queue="away"), every(name="b", queue="there"))
    await one.once()
    half.unavailable = True
    for second in range(1, 601):
        await to(clock, second, one)
    assert await count(memory, "there") == 10
    assert await count(memory, "away") == 0
    assert [scheduler.id for scheduler in await memory.schedulers()] == [one.id], (
        "it shows itself all the same"
    )
    assert caplog.text.count("of queue 'away' are suspended until it answers: its master is down") == 1
    half.unavailable = False
    for second in range(601, 662):
        await to(clock, second, one)
    assert await count(memory, "there") == 11
    assert await count(memory, "away") == 1 + 1 + 1, "one for those that were missed, and those on time"


# --- entries --------------------------------------------------------------------------------------


async def test_entries_are_visible_at_once_and_disappear_with_the_scheduler(
    broker: Store, clock: FakeClock
) -> None:
    one = await ticker(broker, every("*/5 * * * *", zone="Europe/Berlin", queue="low", max_retry=3))
    [info] = await broker.schedulers()
    [entry] = info.entries
    assert (entry.id, entry.spec, entry.zone, entry.queue) == ("x", "*/5 * * * *", "Europe/Berlin", "low")
    assert entry.options == ['Queue("low")', "MaxRetry(3)"]
    assert (entry.next_at, entry.prev_at) == (HOUR + 300, None)
    await to(clock, 300, one)
    await to(clock, 306, one)
    [info] = await broker.schedulers()
    assert (info.entries[0].next_at, info.entries[0].prev_at) == (HOUR + 600, HOUR + 300)
    await one.close()
    assert await broker.schedulers() == []


async def test_a_change_is_visible_at_once(memory: Store) -> None:
    one = await ticker(memory, every())
    [plan] = await one.plan([every(name="y")])
    assert isinstance(plan, Plan)
    await one.serve([plan])
    assert [entry.id for entry in (await memory.schedulers())[0].entries] == ["x", "y"]
    await one.remove(["x"])
    assert [entry.id for entry in (await memory.schedulers())[0].entries] == ["y"]
    with pytest.raises(EntryNotFound):
        await one.remove(["x"])


async def test_b22_what_nobody_serves_any_more_is_forgotten_in_the_end(
    memory: Store, clock: FakeClock
) -> None:
    old = await ticker(memory, every(name="old"), every(name="paused"), every(name="kept"))
    await old.once()
    await memory.pause_schedule("default", "paused", True)
    one = await ticker(memory, every(name="kept"))
    for _ in range(91):
        clock.advance(86_400)
        await one.once()
    assert list(await memory.schedule_states("default")) == ["kept", "paused"]
    assert REGISTER_INTERVAL < 86_400


async def test_an_invalid_entry_is_answered_with_its_error(memory: Store) -> None:
    one = Ticker(memory, Terms(), Hooks())
    entries = [
        every("61 * * * *"),
        every(),
        ScheduleEntry("@daily", Task("t"), zone="Mars/Olympus"),
        ScheduleEntry("@daily", Task("t"), timeout=-1),
    ]
    found = await one.plan(entries)
    assert [isinstance(plan, Plan) for plan in found] == [False, True, False, False]


async def test_a_passed_deadline_stops_the_tasks_of_its_entry_only(
    memory: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    one = await ticker(
        memory,
        every(name="mortal", deadline=HOUR + 100),
        every(name="y"),
        hooks=Hooks(post=lambda schedule, outcome: calls.append((schedule, type(outcome).__name__))),
    )
    await to(clock, 60, one)
    await to(clock, 120, one)
    assert calls == [
        ("mortal", "TaskInfo"),
        ("y", "TaskInfo"),
        ("mortal", "InvalidOption"),
        ("y", "TaskInfo"),
    ]
    assert "'mortal' cannot enqueue its task" in caplog.text


async def test_hooks_hear_of_each_task(memory: Store, clock: FakeClock) -> None:
    before: list[Any] = []
    after: list[Any] = []

    async def post(id: str, outcome: Any) -> None:
        after.append((id, outcome))

    def pre(task: Task, options: Any) -> None:
        before.append((task.type, dict(options)))

    unique = every(queue="low", unique=3600)
    one = await ticker(memory, unique, hooks=Hooks(pre, post))
    other = await ticker(memory, unique)
    await to(clock, 60, one, other)
    await to(clock, 120, one, other)
    await to(clock, 180, other, one)
    assert before == [("tick", {"queue": "low", "unique": 3600})] * 3
    [(id, info), (_, duplicate)] = after
    assert (id, info.queue, info.state) == ("x", "low", TaskState.PENDING)
    assert isinstance(info, TaskInfo)
    assert isinstance(duplicate, DuplicateTask)


async def test_a_hook_that_fails_costs_nothing(
    memory: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*values: object) -> None:
        raise ValueError("no")

    one = await ticker(memory, every(), hooks=Hooks(fail, fail))
    with caplog.at_level(logging.ERROR):
        await to(clock, 60, one)
    assert await count(memory) == 1
    assert caplog.text.count("a hook of the scheduler failed") == 2
