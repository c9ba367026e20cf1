"""`follow` reports what happens to a task while it happens, on every broker."""

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


async def test_states_progress_and_log_lines_are_followed_until_the_end(app: App) -> None:
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
    seen: list[object] = []
    async with asyncio.timeout(30):
        events = handle.follow()
        seen.append(short(await anext(events)))
        async with app.server().running(app.mux):
            async for event in events:
                seen.append(short(event))
                if seen[-1] == "begins":
                    step.release()  # only what runs for a moment is sure to be seen running
    assert seen[:5] == [TaskState.PENDING, TaskState.ACTIVE, b"50", "begins", "ends"]
    assert seen[-1] is TaskState.COMPLETED
    assert seen.count("begins") == seen.count("ends") == 2
    assert seen.index("ends") < seen.index(TaskState.RETRY) if TaskState.RETRY in seen else True


async def test_following_a_task_without_retention_ends_with_its_deletion(app: App) -> None:
    @app.task("work")
    async def work() -> None: ...

    handle = await work.enqueue()
    client = await app.open()
    seen = []
    async with asyncio.timeout(30):
        events = client.follow(handle.info)
        seen.append(short(await anext(events)))
        async with app.server().running(app.mux):
            seen += [short(event) async for event in events]
    assert seen[0] is TaskState.PENDING
    assert seen[-1] is None


async def test_a_missing_task_cannot_be_followed(app: App) -> None:
    client = await app.open()
    with pytest.raises(TaskNotFound, match="ghost"):
        await anext(client.follow("ghost"))


async def test_a_follower_that_stops_leaves_no_watch(app: App) -> None:
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


def test_sync_follow_is_a_plain_generator(tmp_path: Path) -> None:
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
        seen = [short(next(events))]
        asyncio.run(serve())
        seen += [short(event) for event in events]
        assert (seen[0], seen[-2:]) == (TaskState.PENDING, ["here", TaskState.COMPLETED])
        with pytest.raises(TaskNotFound):
            next(client.follow("ghost"))
        # Given up half-way, it closes what it opened.
        unfinished = client.follow(TaskRef("default", info.id).id)
        next(unfinished)
        unfinished.close()  # type: ignore[attr-defined]
    app.sync.close()
