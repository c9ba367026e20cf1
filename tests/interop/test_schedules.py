"""Schedules of each side in the tools of the other."""

from __future__ import annotations

import socket
import time

import pytest

from asynqio import Inspector, ScheduleEntry, Scheduler, Task, TaskInfo
from tests.interop.conftest import Go, Ours
from tests.runtime.scheduling.test_schedules import Seen
from tests.runtime.waiting import within


async def test_go_lists_entries_of_asynqio_and_their_tasks(go: Go, ours: Ours) -> None:
    seen = Seen()
    entries = [
        ScheduleEntry(
            "@every 1s",
            Task("ok:tick", b"\xffx"),
            name="tick",
            queue="low",
            max_retry=3,
            timeout=90,
            retention=1.5,
            headers={"k": "v"},
        ),
        ScheduleEntry("0 9 * * mon-fri", Task("ok:daily"), name="daily", zone="Europe/Berlin", unique=3600),
    ]
    async with go.inspector() as inspector, Scheduler(ours.url, entries=entries, post_enqueue=seen):
        listed = {entry.id: entry for entry in await inspector.entries()}
        assert listed.keys() == {"tick", "daily"}, "at once"
        tick, daily = listed["tick"], listed["daily"]
        assert (tick.spec, tick.type, tick.payload) == ("@every 1s", "ok:tick", b"\xffx")
        # Go's parser ignores headers (B30), but they are stored.
        assert tick.options == ['Queue("low")', "MaxRetry(3)", "Timeout(1m30s)", "Retention(1.5s)"]
        assert tick.prev is None
        assert tick.next == pytest.approx(time.time(), abs=3)
        assert (daily.spec, daily.options) == ("CRON_TZ=Europe/Berlin 0 9 * * mon-fri", ["Unique(1h0m0s)"])
        first, second = await seen.next("tick"), await seen.next("tick")
        events = await inspector.events("tick")
        assert first.id in [event.task_id for event in events]
        assert events[0].enqueued_at == pytest.approx(time.time(), abs=5)
        task = await inspector.task("low", second.id)
        assert (task.type, task.payload, task.max_retry, task.retention) == ("ok:tick", b"\xffx", 3, 2)
    async with go.inspector() as inspector:
        assert await inspector.entries() == []
        assert first.id in [event.task_id for event in await inspector.events("tick")]


async def test_the_asynq_command_lists_entries_and_events_of_asynqio(go: Go, ours: Ours) -> None:
    seen = Seen()
    entry = ScheduleEntry("@every 1s", Task("ok:tick", b"{}"), name="tick", queue="low", timeout=90)
    async with Scheduler(ours.url, entries=[entry], post_enqueue=seen):
        first = await seen.next()
        await seen.next()  # then the event of the first task is recorded
        [row] = [line for line in (await go.cli("cron", "ls")).splitlines() if "tick" in line]
        for shown in ("tick", "@every 1s", "ok:tick", "{}", 'Queue("low")', "Timeout(1m30s)"):
            assert shown in row, row
        assert first.id in await go.cli("cron", "history", "tick")


async def test_a_go_server_runs_tasks_of_an_asynqio_scheduler(go: Go, ours: Ours) -> None:
    entry = ScheduleEntry("@every 1s", Task("ok:tick", b"now"), name="tick", queue="low")
    async with go.server(queues={"low": 1}) as server, Scheduler(ours.url, entries=[entry]):
        seen = (await server.event("ended")).seen
        assert (seen.type, seen.payload) == ("ok:tick", b"now")
        assert seen.headers is not None
        assert seen.headers["asynqio-schedule"] == "tick"


async def test_asynqio_lists_entries_of_go_and_their_tasks(go: Go, ours: Ours) -> None:
    async with go.scheduler() as scheduler, Inspector(ours.url) as inspector:
        options = {"queue": "low", "retention": 90.0, "headers": {"k": "v"}}
        id = await scheduler.register("@every 1s", "ok:tick", b"now", **options)  # type: ignore[arg-type]
        await scheduler.start()
        enqueued = (await scheduler.event("enqueued")).enqueued
        await scheduler.event("enqueued")  # then its first heartbeat and event are written
        [there] = await inspector.schedulers()
        assert there.host == socket.gethostname()
        [schedule] = await inspector.schedules()
        assert (schedule.id, schedule.spec, schedule.type, schedule.payload) == (
            id,
            "@every 1s",
            "ok:tick",
            b"now",
        )
        assert (schedule.queue, schedule.paused) == ("low", False)
        # Of the task of an entry, Go publishes type and payload but no headers.
        assert schedule.options == ['Queue("low")', "Retention(1m30s)"]
        assert schedule.next_at == pytest.approx(time.time(), abs=5)
        assert enqueued.id in [event.task_id for event in await inspector.fires(id)]
        info = await inspector.trigger(id)
        assert isinstance(info, TaskInfo)
        task = await inspector.find(info.id, queue="low")
        assert (task.type, task.payload, task.retention) == ("ok:tick", b"now", 90)
        await within(scheduler.shutdown())
        assert await inspector.schedulers() == []
