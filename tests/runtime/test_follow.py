"""`follow`: what happens to a task is told as it happens, on every broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asynqio import App, FixedRetry, LogLine, ProgressChange, StateChange, TaskEvent, TaskState, current
from asynqio.core.task.message import TaskRef
from asynqio.errors import TaskNotFound
from asynqio.sync import Client as SyncClient
from tests.runtime.waiting import within


def short(event: TaskEvent) -> object:
    match event:
        case StateChange(state):
            return state
        case ProgressChange(progress):
            return progress
        case LogLine(text=text):
            return text


async def test_states_progress_and_lines_are_told_until_the_end(app: App) -> None:
    step = asyncio.Semaphore(0)

    @app.task("work", retention=60, retry=FixedRetry(0.01))
    async def work() -> None:
        current().log("begins")
        await current().report_progress(50)
        await step.acquire()
        current().log("ends")
        if current().retried == 0:
            raise ValueError("no")

    handle = await work.enqueue()
    told: list[object] = []
    async with asyncio.timeout(30):
        events = handle.follow()
        told.append(short(await anext(events)))
        async with app.server().running(app.mux):
            async for event in events:
                told.append(short(event))
                if told[-1] == "begins":
                    step.release()  # only what runs for a moment is sure to be seen running
    assert told[:5] == [TaskState.PENDING, TaskState.ACTIVE, b"50", "begins", "ends"]
    assert told[-1] is TaskState.COMPLETED
    assert told.count("begins") == told.count("ends") == 2
    assert told.index("ends") < told.index(TaskState.RETRY) if TaskState.RETRY in told else True


async def test_a_task_that_is_not_kept_ends_as_gone(app: App) -> None:
    @app.task("work")
    async def work() -> None: ...

    handle = await work.enqueue()
    client = await app.open()
    told = []
    async with asyncio.timeout(30):
        events = client.follow(handle.info)
        told.append(short(await anext(events)))
        async with app.server().running(app.mux):
            told += [short(event) async for event in events]
    assert told[0] is TaskState.PENDING
    assert told[-1] is None


async def test_a_task_that_is_not_there_cannot_be_followed(app: App) -> None:
    client = await app.open()
    with pytest.raises(TaskNotFound, match="ghost"):
        await anext(client.follow("ghost"))


async def test_who_stops_following_leaves_no_watch(app: App) -> None:
    @app.task("work")
    async def work() -> None: ...

    handle = await work.enqueue()
    events = handle.follow()
    assert short(await anext(events)) is TaskState.PENDING
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await events.aclose()  # type: ignore[attr-defined]
    # It is still there, and another one may follow it.
    again = handle.follow()
    assert short(await within(anext(again))) is TaskState.PENDING
    await again.aclose()  # type: ignore[attr-defined]


def test_without_an_event_loop_it_is_a_plain_generator(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path}/tasks.db")

    @app.task("work", retention=60)
    async def work() -> None:
        current().log("here")

    info = work.enqueue_sync()

    async def serve() -> None:
        other = App(f"sqlite:///{tmp_path}/tasks.db")
        other.mux.add("work", work.performer())
        async with other, other.running():
            await other.result(info)

    with SyncClient(f"sqlite:///{tmp_path}/tasks.db") as client:
        events = client.follow(info.id)
        told = [short(next(events))]
        asyncio.run(serve())
        told += [short(event) for event in events]
        assert (told[0], told[-2:]) == (TaskState.PENDING, ["here", TaskState.COMPLETED])
        with pytest.raises(TaskNotFound):
            next(client.follow("ghost"))
        # Given up half-way, it closes what it opened.
        unfinished = client.follow(TaskRef("default", info.id).id)
        next(unfinished)
        unfinished.close()  # type: ignore[attr-defined]
    app.sync.close()
