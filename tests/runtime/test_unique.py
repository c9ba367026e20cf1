"""Uniqueness: what `enqueue` answers for each option."""

from __future__ import annotations

import asyncio

import pytest

from asynqio import App, DuplicateTask, Task, TaskInfo, TaskState
from tests.runtime.waiting import within


async def test_a_debounced_call_is_answered_with_the_waiting_task(app: App) -> None:
    @app.task("index", unique_key="page", process_in=60, on_duplicate="replace")
    async def index(page: int) -> None: ...

    first = await index.enqueue(1)
    second = await index.with_options(process_in=90, headers={"k": "v"}).enqueue(page=2)
    assert first.id == second.id
    info = second.info
    assert (info.state, info.load(), info.headers) == (TaskState.SCHEDULED, {"page": 2}, {"k": "v"})
    assert info.next_process_at == pytest.approx(first.info.next_process_at + 30, abs=5)


async def test_enqueue_many_is_answered_with_the_stored_tasks(app: App) -> None:
    def task(number: int) -> Task:
        return Task.json("a", number, unique=60, unique_key="x", on_duplicate="replace")

    answers = await app.enqueue_many([task(1), Task("b"), task(2), Task("c", deadline=1.0), task(3)])
    one, b, two, bad, three = answers
    assert isinstance(one, TaskInfo)
    assert isinstance(two, TaskInfo)
    assert isinstance(three, TaskInfo)
    assert (one.id, one.load()) == (two.id, 1)
    assert (three.id, two.load(), three.load()) == (one.id, 3, 3)
    assert isinstance(b, TaskInfo)
    assert b.type == "b"
    assert isinstance(bad, ValueError)


async def test_rescheduling_answers_with_the_payload_that_is_kept(app: App) -> None:
    first = await app.enqueue(Task.json("a", 1), unique_key="x", process_in=60)
    second = await app.enqueue(Task.json("a", 2), unique_key="x", process_in=600, on_duplicate="reschedule")
    assert (second.id, second.load()) == (first.id, 1)
    assert second.next_process_at > first.next_process_at + 500


async def test_a_rejection_names_the_key(app: App) -> None:
    await app.enqueue(Task("a"), unique=60)
    with pytest.raises(DuplicateTask, match="'a' with this payload already"):
        await app.enqueue(Task("a"), unique=60)
    await app.enqueue(Task("a"), unique=60, unique_key="x")
    with pytest.raises(DuplicateTask, match="'a' with this unique_key already"):
        await app.enqueue(Task("a", b"other"), unique=60, unique_key="x")


async def test_unique_until_started_allows_one_running_and_one_waiting_task(app: App) -> None:
    started, go = asyncio.Event(), asyncio.Event()
    runs = []

    @app.task("sync", unique_until="started")
    async def sync(number: int) -> None:
        runs.append(number)
        started.set()
        await go.wait()

    one = sync.with_options(unique_key="all")
    async with app.running(concurrency=1):
        await one.enqueue(1)
        await within(started.wait())
        started.clear()
        last = await one.enqueue(2)
        with pytest.raises(DuplicateTask):
            await one.enqueue(3)
        go.set()
        await within(started.wait())
    assert runs == [1, 2]
    assert last.info.unique_until == "started"


async def test_a_finished_task_frees_its_id(app: App) -> None:
    @app.task("report", retention=3600)
    async def report(day: int) -> int:
        return day

    weekly = report.with_options(task_id="weekly", replace_finished=True)
    async with app.running():
        for day in (1, 2):
            assert await within((await weekly.enqueue(day)).result()) == day
