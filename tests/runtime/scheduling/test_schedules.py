"""Scheduler, App and Inspector together, on real time: `@every 1s` fires on every full second."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynqio import (
    App,
    ConfigError,
    DuplicateTask,
    EntryNotFound,
    Inspector,
    InvalidSchedule,
    ScheduleEntry,
    Scheduler,
    Task,
    TaskInfo,
    TaskState,
    WrongState,
)
from asynqio.brokers import open_broker
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.errors import BrokerUnavailable, InvalidArguments, ServerStateError
from asynqio.testing import Flaky
from tests.runtime.waiting import within

TASK = Task("tick", b"{}")


class Seen:
    """Waits for what a scheduler enqueues."""

    def __init__(self) -> None:
        self.ids: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def __call__(self, id: str, outcome: Any) -> None:
        self.ids.put_nowait((id, outcome))

    async def next(self, id: str = "") -> TaskInfo:
        while True:
            found, outcome = await within(self.ids.get())
            if not id or found == id:
                assert isinstance(outcome, TaskInfo), outcome
                return outcome


# --- Scheduler ------------------------------------------------------------------------------------


async def test_a_scheduler_enqueues_tasks_by_the_clock(url: str) -> None:
    seen = Seen()
    entries = [ScheduleEntry("@every 1s", TASK, name="tick", queue="low")]
    async with open_broker(url) as store, Inspector(store) as inspector:
        async with Scheduler(store, entries=entries, post_enqueue=seen):
            [info] = await inspector.schedules()
            assert (info.id, info.queue, info.prev_at) == ("tick", "low", None)
            first, second = await seen.next(), await seen.next()
            assert first.id != second.id
            found = await inspector.find(first.id, queue="low")
            assert (found.type, found.payload, found.state) == ("tick", b"{}", TaskState.PENDING)
        assert await inspector.schedules() == []
        ids = [event.task_id for event in await inspector.fires("tick")]
        assert ids[-2:] == [second.id, first.id]


async def test_entries_are_added_and_removed_while_it_runs(url: str) -> None:
    seen = Seen()
    scheduler = Scheduler(url, post_enqueue=seen, queue="from-defaults")
    early = await scheduler.register("@every 1s", TASK, name="early")
    gone = await scheduler.register("@every 1s", Task("gone"))
    await scheduler.unregister(gone)
    async with scheduler:
        assert (await seen.next()).queue == "from-defaults"
        late = await scheduler.register("@every 1s", Task("late"), queue="low")
        assert (await seen.next(late)).queue == "low"
        await scheduler.unregister(early)
        assert [entry.id for entry in scheduler.info().entries] == [late]
        with pytest.raises(EntryNotFound, match="early"):
            await scheduler.unregister(early)
        with pytest.raises(ConfigError, match="already"):
            await scheduler.register("@every 1s", Task("late"), queue="low")
        with pytest.raises(InvalidSchedule):
            await scheduler.register("@every", TASK)


async def test_an_unknown_entry_cannot_be_removed() -> None:
    with pytest.raises(EntryNotFound):
        await Scheduler("memory://").unregister("x")


async def test_the_start_reports_every_problem() -> None:
    entries = [
        ScheduleEntry("61 * * * *", TASK),
        ScheduleEntry("@daily", TASK, name="a"),
        ScheduleEntry("@hourly", TASK, name="a"),
        ScheduleEntry("@daily", TASK, zone="Mars/Olympus"),
    ]
    with pytest.raises(ConfigError) as caught:
        await Scheduler("memory://", entries=entries).start()
    assert len(caught.value.problems) == 3
    assert "minute '61'" in caught.value.problems[0]
    assert "'a' already" in caught.value.problems[1]


async def test_a_scheduler_starts_once() -> None:
    scheduler = Scheduler("memory://")
    with pytest.raises(ServerStateError):
        scheduler.info()
    async with scheduler.running():
        with pytest.raises(ServerStateError):
            await scheduler.start()
    await scheduler.stop()
    with pytest.raises(ServerStateError):
        await scheduler.start()


async def test_an_unavailable_store_is_reported_at_the_start() -> None:
    flaky = Flaky(open_broker("memory://"))
    flaky.fail()
    with pytest.raises(BrokerUnavailable):
        await Scheduler(flaky.broker, entries=[ScheduleEntry("@daily", TASK)]).start()


@pytest.mark.parametrize("settings", [{"grace": 0}, {"grace": 10_000}, {"sync_every": 0}, {"grace": "x"}])
def test_invalid_settings_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Scheduler("memory://", **settings)


# --- a source -------------------------------------------------------------------------------------


class Entries:
    """A source that counts its reads."""

    def __init__(self, *entries: ScheduleEntry) -> None:
        self.entries: Any = list(entries)
        self.error: Exception | None = None
        self._asked = 0
        self._news = asyncio.Condition()

    async def __call__(self) -> Any:
        async with self._news:
            self._asked += 1
            self._news.notify_all()
        if self.error:
            raise self.error
        return self.entries

    async def asked_twice_more(self) -> None:
        """Wait until the current entries are served."""
        async with self._news:
            goal = self._asked + 2
            await within(self._news.wait_for(lambda: self._asked >= goal))


def named(name: str, spec: str = "@daily") -> ScheduleEntry:
    return ScheduleEntry(spec, TASK, name=name)


def ids_of(scheduler: Scheduler) -> list[str]:
    return sorted(entry.id for entry in scheduler.info().entries)


async def test_a_source_defines_the_entries(caplog: pytest.LogCaptureFixture) -> None:
    source = Entries(named("a"), named("b"))
    async with Scheduler("memory://", entries=[named("fixed")], source=source, sync_every=0.1) as scheduler:
        assert ids_of(scheduler) == ["a", "b", "fixed"]
        source.entries = [named("b", "@hourly"), named("c"), named("fixed", "@hourly"), named("c")]
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["b", "c", "fixed"]
        specs = {entry.id: entry.spec for entry in scheduler.info().entries}
        assert specs == {"b": "@hourly", "c": "@daily", "fixed": "@daily"}
        assert caplog.text.count("another schedule with the id 'fixed'") == 1
        source.entries = []
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["fixed"]


async def test_an_invalid_spec_is_reported_once_and_affects_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Entries(named("a"), named("wrong", "61 * * * *"))
    async with Scheduler("memory://", source=source, sync_every=0.1) as scheduler:
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["a"]
        assert caplog.text.count("is not served") == 1
        source.entries = [named("a"), named("wrong", "62 * * * *"), named("b")]
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["a", "b"]
        assert caplog.text.count("is not served") == 2


@pytest.mark.parametrize("wrong", [None, ["@daily"], [None]])
async def test_a_source_that_fails_later_changes_nothing(
    wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    source = Entries(named("a"))
    async with Scheduler("memory://", source=source, sync_every=0.1) as scheduler:
        source.entries = wrong
        await source.asked_twice_more()
        source.error = ValueError("the database is down")
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["a"]
        assert "the database is down" in caplog.text
        source.entries, source.error = [named("b")], None
        await source.asked_twice_more()
        assert ids_of(scheduler) == ["b"]


async def test_a_source_must_answer_at_the_start() -> None:
    source = Entries()
    source.error = ValueError("the database is down")
    with pytest.raises(ValueError, match="down"):
        await Scheduler("memory://", source=source).start()
    with pytest.raises(ConfigError, match="not a ScheduleEntry"):
        await Scheduler("memory://", source=lambda: ["@daily"]).start()  # type: ignore[list-item]


async def test_a_source_may_be_a_plain_function() -> None:
    async with Scheduler("memory://", source=lambda: [named("a")]) as scheduler:
        assert ids_of(scheduler) == ["a"]


# --- App ------------------------------------------------------------------------------------------


async def test_a_worker_of_an_app_fires_its_schedules(url: str) -> None:
    app = App(url)
    done = asyncio.Event()
    seen: list[tuple[str, int]] = []

    @app.cron("@every 1s", args=("x",), kwargs={"times": 3}, name="tick", queue="default")
    @app.cron("0 0 1 1 *")
    @app.task("tick")
    async def tick(word: str = "", times: int = 1) -> None:
        seen.append((word, times))
        done.set()

    assert [entry.spec for entry in app.schedules] == ["0 0 1 1 *", "@every 1s"]
    async with app, app.running():
        await within(done.wait())
        assert seen[0] == ("x", 3)
        assert "tick" in [info.id for info in await app.inspector.schedules()]


async def test_a_worker_can_leave_schedules_to_other_processes(url: str) -> None:
    app = App(url)
    app.cron("@every 1s")(app.task("tick")(lambda: None))
    async with app, app.running(scheduler=False):
        assert await app.inspector.schedulers() == []


async def test_an_app_without_schedules_runs_no_scheduler(url: str) -> None:
    app = App(url)
    async with app, app.running():
        assert await app.inspector.schedulers() == []


def test_an_invalid_schedule_is_rejected_at_declaration() -> None:
    app = App("memory://")

    @app.task
    def report(kind: str) -> None: ...

    with pytest.raises(InvalidSchedule, match="five fields"):
        app.cron("* * * *")
    with pytest.raises(InvalidSchedule, match="Mars"):
        app.cron("@daily", zone="Mars/Olympus")
    with pytest.raises(InvalidArguments):
        app.cron("@daily")(report)
    with pytest.raises(ConfigError, match=r"above @app\.task"):
        app.cron("@daily")(lambda: None)  # type: ignore[type-var]
    app.cron("@daily", args=("a",))(report)
    with pytest.raises(ConfigError, match="another name"):
        app.cron("@daily", kwargs={"kind": "a"})(report)
    app.cron("@daily", kwargs={"kind": "b"})(report)


# --- Inspector ------------------------------------------------------------------------------------


async def test_an_operator_pauses_resumes_and_triggers(url: str) -> None:
    entries = [
        ScheduleEntry(
            "0 0 1 1 *", Task("tick", b"\xff"), name="x", queue="low", retention=60, headers={"a": "b"}
        )
    ]
    async with open_broker(url) as store, Inspector(store) as inspector:
        async with Scheduler(store, entries=entries):
            assert not (await inspector.schedule("x")).paused
            assert await inspector.pause_schedule("x")
            assert not await inspector.pause_schedule("x")
            assert (await inspector.schedule("x")).paused
            info = await inspector.trigger("x")
            task = await inspector.find(info.id, queue="low")
            assert (task.type, task.payload, task.retention, task.headers) == (
                "tick",
                b"\xff",
                60,
                {"a": "b", "asynqio-schedule": "x"},
            )
            assert [event.task_id for event in await inspector.fires("x")] == [info.id]
            assert (await inspector.schedule("x")).prev_at is None, "its ticks go on as ever"
            times = await inspector.upcoming("x", 3)
            assert len(times) == 3
            assert times[0] == (await inspector.schedule("x")).next_at
        assert await inspector.resume_schedule("x"), "also when no scheduler is there"
        assert not await inspector.resume_schedule("x")
        await inspector.reset_schedule("x")
        for ask in (inspector.schedule, inspector.trigger, inspector.upcoming, inspector.pause_schedule):
            with pytest.raises(EntryNotFound):
                await ask("x")
        assert await inspector.fires("nobody") == []


async def test_a_trigger_is_an_enqueue_like_any_other() -> None:
    entries = [ScheduleEntry("@yearly", TASK, name="x", unique=60, process_in=600, deadline=4e9)]
    async with open_broker("memory://") as store, Scheduler(store, entries=entries):
        inspector = Inspector(store)
        info = await inspector.trigger("x")
        assert info.state is TaskState.PENDING, "now"
        with pytest.raises(DuplicateTask):
            await inspector.trigger("x")
        assert len(await inspector.fires("x")) == 1


async def test_each_schedule_is_listed_once_with_any_number_of_schedulers(url: str) -> None:
    entries = [named("a"), named("b")]
    async with (
        open_broker(url) as store,
        Scheduler(store, entries=entries),
        Scheduler(store, entries=entries[:1]),
    ):
        inspector = Inspector(store)
        assert len(await inspector.schedulers()) == 2
        assert [info.id for info in await inspector.schedules()] == ["a", "b"]


async def test_schedules_of_go_cannot_be_paused() -> None:
    gos = ScheduleInfo("x", "@every 30s", "", "default", "tick", next_at=1_800_000_000.0)
    async with open_broker("memory://") as store, Inspector(store) as inspector:
        await store.beat(SchedulerInfo("h:1:x", "h", 1, 0.0, [gos]), 60)
        with pytest.raises(WrongState, match="Go"):
            await inspector.pause_schedule("x")
        assert await inspector.upcoming("x") == [1_800_000_000.0]
        assert (await inspector.trigger("x")).type == "tick"
