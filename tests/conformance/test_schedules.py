"""Rules 17 and 18: schedules, their ticks, states and events."""

from __future__ import annotations

import asyncio
import math

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Admission, Fired
from asynqio.brokers.contract.signals import pending
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskState
from asynqio.core.task.task import Entry
from asynqio.testing import FakeClock
from tests.builders import entry, server_info
from tests.conformance.helpers import get_task, ids, in_other_thread, is_notified, put, queue_exists, snapshot

ACCEPTED, TAKEN, HELD = Fired(Admission.ACCEPTED), Fired(None), Fired(None, paused=True)


def fire(tick: float, one: Entry | None = None, schedule: str = "report") -> Fire:
    return Fire(schedule, tick, one or entry())


async def state_of_schedule(broker: Store, schedule: str = "report", queue: str = "default") -> ScheduleState:
    return (await broker.schedule_states(queue))[schedule]


# --- ticks ----------------------------------------------------------------------------------------


async def test_rule_17_a_tick_is_taken_once_and_enqueues_its_entry(broker: Store, clock: FakeClock) -> None:
    tick = math.floor(clock.now())
    assert await broker.fire([fire(tick, entry("a"))]) == [ACCEPTED]
    assert (await get_task(broker, "a")).state is TaskState.PENDING
    before = await snapshot(broker)
    assert await broker.fire([fire(tick, entry("b"))]) == [TAKEN]
    assert await broker.fire([fire(tick - 60, entry("c"))]) == [TAKEN]
    assert await snapshot(broker) == before
    assert await broker.fire([fire(tick + 60, entry("d"))]) == [ACCEPTED]
    assert (await state_of_schedule(broker)).last == tick + 60


async def test_rule_17_ticks_of_one_batch_are_taken_in_order(broker: Store) -> None:
    fires = [fire(60, entry("a")), fire(120, entry("b")), fire(120, entry("c")), fire(90, entry("d"))]
    assert await broker.fire(fires) == [ACCEPTED, ACCEPTED, TAKEN, TAKEN]
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]


async def test_rule_17_schedules_are_independent(broker: Store) -> None:
    fires = [
        fire(60, entry("a"), "one"),
        fire(60, entry("b"), "two"),
        fire(60, entry("a", queue="other"), "one"),
    ]
    assert await broker.fire(fires) == [ACCEPTED] * 3
    assert await broker.fire([fire(60, entry("c"), "two")]) == [TAKEN]


async def test_rule_17_an_entry_is_enqueued_as_by_enqueue(broker: Store, clock: FakeClock) -> None:
    later, group = entry("later", at=clock.now() + 60), entry("group", group="g")
    assert await broker.fire([fire(60, later, "one"), fire(60, group, "two")]) == [ACCEPTED] * 2
    assert (await get_task(broker, "later")).state is TaskState.SCHEDULED
    assert (await get_task(broker, "group")).state is TaskState.AGGREGATING


async def test_rule_17_a_refused_entry_takes_its_tick(broker: Store) -> None:
    await put(broker, entry("a", unique=300))
    duplicate, taken = entry("b", unique=300), entry("a")
    assert await broker.fire([fire(60, duplicate, "one"), fire(60, taken, "two")]) == [
        Fired(Admission.DUPLICATE),
        Fired(Admission.ID_CONFLICT),
    ]
    assert await broker.fire([fire(60, entry("c"), "one"), fire(60, entry("d"), "two")]) == [TAKEN] * 2
    assert await ids(broker, TaskState.PENDING) == ["a"]


async def test_fire_notifies_watches_of_the_queue(broker: Store) -> None:
    with broker.watch([pending("default")]) as watch:
        await broker.fire([fire(60)])
        assert await is_notified(watch)


async def test_rule_17_concurrent_schedulers_take_each_tick_once(broker: Store) -> None:
    async def ask(number: int) -> list[Fired]:
        return await broker.fire(
            [
                fire(60 + tick, entry(f"{number}-{tick}-{at}"), f"s{at}")
                for tick in range(3)
                for at in range(20)
            ]
        )

    answers = await asyncio.gather(*(ask(number) for number in range(8)))
    assert [list(each).count(ACCEPTED) for each in zip(*answers, strict=True)] == [1] * 60
    assert (await broker.stats(["default"]))[0].pending == 60


async def test_one_call_may_fire_hundreds_of_ticks(broker: Store) -> None:
    fires = [fire(60 + at, entry(f"t{at:04}")) for at in range(450)]
    assert await broker.fire(fires) == [ACCEPTED] * 450
    assert await broker.fire(fires) == [TAKEN] * 450
    assert (await state_of_schedule(broker)).last == 60 + 449


async def test_a_clone_takes_no_tick_again(broker: Store) -> None:
    await broker.fire([fire(60)])

    async def there(clone: Store) -> list[Fired]:
        return await clone.fire([fire(60), fire(61)])

    assert await in_other_thread(broker, there) == [TAKEN, ACCEPTED]


async def test_firing_nothing_answers_nothing(broker: Store) -> None:
    assert await broker.fire([]) == []
    await broker.record([])
    assert await broker.register_schedules("default", []) == []
    assert await broker.prune_schedules("default", [], math.inf) == 0


# --- states ---------------------------------------------------------------------------------------


async def test_a_new_schedule_starts_when_it_is_registered(broker: Store, clock: FakeClock) -> None:
    first = clock.now()
    assert await broker.schedule_states("default") == {}
    assert await broker.register_schedules("default", ["report"]) == [
        ScheduleState(None, False, first, first)
    ]
    assert await queue_exists(broker, "default")
    clock.advance(60)
    assert await broker.register_schedules("default", ["report", "more"]) == [
        ScheduleState(None, False, first, clock.now()),
        ScheduleState(None, False, clock.now(), clock.now()),
    ]
    assert list(await broker.schedule_states("default")) == ["more", "report"]


async def test_a_later_scheduler_reads_the_last_tick(broker: Store, clock: FakeClock) -> None:
    [new] = await broker.register_schedules("default", ["report"])
    clock.advance(60)
    await broker.fire([fire(new.since + 50)])
    [known] = await broker.register_schedules("default", ["report"])
    assert known == ScheduleState(new.since + 50, False, new.since, clock.now())
    assert known.after == new.since + 50


async def test_a_schedule_that_fires_unregistered_starts_then(broker: Store, clock: FakeClock) -> None:
    await broker.fire([fire(60)])
    assert await state_of_schedule(broker) == ScheduleState(60, False, clock.now(), clock.now())


async def test_a_schedule_not_registered_for_long_is_pruned(broker: Store, clock: FakeClock) -> None:
    await broker.register_schedules("default", ["old", "young"])
    clock.advance(100)
    await broker.register_schedules("default", ["young"])
    cutoff = clock.now() - 50
    assert await broker.prune_schedules("default", ["old", "young", "nobody"], cutoff) == 1
    assert list(await broker.schedule_states("default")) == ["young"]
    assert await broker.prune_schedules("nowhere", ["young"], cutoff) == 0
    assert await broker.prune_schedules("default", ["young"], math.inf) == 1
    assert await broker.schedule_states("default") == {}


async def test_a_pruned_schedule_starts_again(broker: Store) -> None:
    await broker.fire([fire(1000)])
    await broker.pause_schedule("default", "report", True)
    await broker.prune_schedules("default", ["report"], math.inf)
    assert await broker.fire([fire(60)]) == [ACCEPTED]


async def test_rule_17_removing_a_queue_deletes_its_schedules(broker: Store) -> None:
    await broker.fire([fire(60)])
    await broker.remove_queue("default", force=True)
    assert await broker.schedule_states("default") == {}
    assert not await queue_exists(broker, "default")


async def test_a_queue_with_only_schedules_can_be_removed(broker: Store) -> None:
    await broker.register_schedules("default", ["report"])
    await broker.pause_schedule("default", "report", True)
    await broker.remove_queue("default")
    assert await broker.schedule_states("default") == {}


# --- pausing --------------------------------------------------------------------------------------


async def test_rule_17_a_paused_schedule_takes_no_tick(broker: Store) -> None:
    assert await broker.fire([fire(60)]) == [ACCEPTED]
    assert await broker.pause_schedule("default", "report", True) is True
    assert await broker.pause_schedule("default", "report", True) is False
    before = await snapshot(broker)
    assert await broker.fire([fire(120), fire(60), fire(120, schedule="other")]) == [HELD, HELD, ACCEPTED]
    assert before != await snapshot(broker)
    assert (await state_of_schedule(broker)).paused
    assert (await state_of_schedule(broker)).last == 60


async def test_ticks_missed_during_a_pause_are_skipped(broker: Store, clock: FakeClock) -> None:
    [new] = await broker.register_schedules("default", ["report"])
    await broker.pause_schedule("default", "report", True)
    assert (await state_of_schedule(broker)).since == new.since
    clock.advance(600)
    assert await broker.pause_schedule("default", "report", False) is True
    assert await broker.pause_schedule("default", "report", False) is False
    assert await state_of_schedule(broker) == ScheduleState(None, False, clock.now(), new.seen_at)
    assert await broker.fire([fire(clock.now() + 60)]) == [ACCEPTED]


async def test_a_schedule_can_be_paused_before_it_is_registered(broker: Store) -> None:
    assert await broker.pause_schedule("default", "report", False) is False
    assert not await queue_exists(broker, "default")
    assert await broker.pause_schedule("default", "report", True) is True
    assert (await broker.register_schedules("default", ["report"]))[0].paused
    assert await broker.fire([fire(60)]) == [HELD]


# --- events ---------------------------------------------------------------------------------------


async def test_rule_18_events_are_kept_newest_first(broker: Store, clock: FakeClock) -> None:
    events = []
    for at in range(5):
        clock.advance(1.25)
        events.append(FireEvent("report", f"task-{at}", clock.now()))
    await broker.record(events[:3])
    await broker.record([*events[3:], FireEvent("other", "x", clock.now())])
    assert await broker.fires("report", Page()) == events[::-1]
    assert await broker.fires("report", Page(2, 1)) == [events[3], events[2]]
    assert await broker.fires("report", Page(2, 5)) == []
    assert await broker.fires("nobody", Page()) == []
    assert [event.task_id for event in await broker.fires("other", Page())] == ["x"]


async def test_rule_18_only_the_newest_events_are_kept(broker: Store, clock: FakeClock) -> None:
    events = [FireEvent("report", f"task-{at:04}", clock.now() + at) for at in range(FIRES_KEPT + 5)]
    clock.advance(FIRES_KEPT + 5)
    await broker.record(events[: FIRES_KEPT // 2])
    await broker.record(events[FIRES_KEPT // 2 :])
    kept = await broker.fires("report", Page(FIRES_KEPT * 2))
    assert kept == events[::-1][:FIRES_KEPT]


async def test_rule_18_all_events_expire_with_the_newest(broker: Store, clock: FakeClock) -> None:
    await broker.record([FireEvent("report", "a", clock.now())])
    clock.advance(FIRES_AGE - 1)
    assert await broker.fires("report", Page())
    clock.advance(1)
    assert await broker.fires("report", Page()) == []
    await broker.prune_schedules("default", [], 0.0)
    assert await broker.fires("report", Page()) == []


# --- schedulers -----------------------------------------------------------------------------------


def scheduler(id: str = "host:1:x", *entries: ScheduleInfo) -> SchedulerInfo:
    return SchedulerInfo(id, "host", 1, 1_700_000_000.5, list(entries))


FULL = ScheduleInfo(
    "report",
    "*/5 * * * *",
    "Europe/Berlin",
    "low",
    "report:make",
    b"\xff{}",
    ['Queue("low")', 'TaskID("a)b")'],
    "once",
    1_700_000_100.0,
    1_700_000_000.0,
    paused=True,
)


async def test_a_scheduler_is_listed_from_its_first_beat(broker: Store) -> None:
    shown = scheduler("host:1:x", FULL, ScheduleInfo("bare", "@daily", "UTC", "default", "t"))
    assert await broker.schedulers() == []
    await broker.beat(shown, 10)
    assert await broker.schedulers() == [shown]
    assert await broker.servers() == []


async def test_a_scheduler_without_heartbeats_expires(broker: Store, clock: FakeClock) -> None:
    await broker.beat(scheduler("host:1:x"), 10)
    await broker.beat(scheduler("host:1:y"), 20)
    clock.advance(9)
    await broker.beat(scheduler("host:1:x", FULL), 10)
    clock.advance(11)
    assert await broker.schedulers() == []
    await broker.beat(scheduler("host:1:x"), 10)
    assert [one.id for one in await broker.schedulers()] == ["host:1:x"]


async def test_a_scheduler_that_leaves_is_removed_at_once(broker: Store) -> None:
    await broker.beat(scheduler("host:1:x"), 10)
    await broker.beat(scheduler("host:1:y"), 10)
    await broker.beat(server_info("host:1:y"), 10)
    await broker.leave(scheduler("host:1:x"))
    await broker.leave(scheduler("host:1:nobody"))
    assert [one.id for one in await broker.schedulers()] == ["host:1:y"]
    await broker.leave(scheduler("host:1:y"))
    assert [one.id for one in await broker.servers()] == ["host:1:y"]


@pytest.mark.parametrize("name", ["é {x}", "a:b", "last:", "a b", "%"])
async def test_a_schedule_may_have_any_id(broker: Store, name: str) -> None:
    await broker.register_schedules("default", [name])
    assert await broker.fire([fire(60, schedule=name), fire(60, schedule=name)]) == [ACCEPTED, TAKEN]
    await broker.pause_schedule("default", name, True)
    assert await state_of_schedule(broker, name) == (60, True, broker.clock.now(), broker.clock.now())
    await broker.record([FireEvent(name, "a", broker.clock.now())])
    assert len(await broker.fires(name, Page())) == 1
    assert await broker.prune_schedules("default", [name], math.inf) == 1
    assert await broker.schedule_states("default") == {}
