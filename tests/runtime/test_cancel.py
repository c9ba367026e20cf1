"""`cancel` deletes what waits, stops what runs, and says which."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from asynqio import App, CancelOutcome, Task, TaskNotFound, TaskState, WrongState
from tests.runtime.waiting import state_of, within

DELETED, STOPPING, FINISHED = CancelOutcome.DELETED, CancelOutcome.STOPPING, CancelOutcome.FINISHED


@pytest.fixture(params=["app", "client", "inspector", "handle"])
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def cancel(face: str, app: App, handle: Any, **options: Any) -> CancelOutcome:
    """The same through each of the faces, with each way to name a task."""
    match face:
        case "app":
            return await app.cancel(handle.id, queue=handle.queue, **options)
        case "client":
            return await (await app.open()).cancel(handle.info, **options)
        case "inspector":
            return await app.inspector.cancel(handle, **options)
        case _:
            outcome: CancelOutcome = await handle.cancel(**options)
            return outcome


async def test_a_waiting_task_is_deleted(app: App, face: str) -> None:
    @app.task("work", queue="low")
    async def work() -> None: ...

    for options in ({}, {"process_in": 600}, {"group": "g"}):
        handle = await work.with_options(**options).enqueue()
        assert await cancel(face, app, handle) is DELETED
        with pytest.raises(TaskNotFound, match="low"):
            await handle.refresh()
        with pytest.raises(TaskNotFound, match=handle.id):
            await cancel(face, app, handle)


@pytest.mark.parametrize("final", [False, True])
async def test_a_running_task_is_stopped_and_only_a_final_cancel_archives_it(
    app: App, face: str, final: bool
) -> None:
    started = asyncio.Event()

    @app.task("long")
    async def long() -> None:
        started.set()
        await asyncio.Event().wait()

    async with app.running():
        handle = await long.enqueue()
        await within(started.wait())
        assert await cancel(face, app, handle, final=final) is STOPPING
        await state_of(app, handle.info, TaskState.ARCHIVED if final else TaskState.RETRY)


async def test_a_finished_task_is_left_as_it_is(app: App, face: str) -> None:
    @app.task("work", retention=600)
    async def work() -> int:
        return 7

    handle = await work.enqueue()
    async with app.running():
        assert await within(handle.result()) == 7
    assert await cancel(face, app, handle) is FINISHED
    assert await handle.result() == 7
    await app.inspector.archive(handle)
    assert await cancel(face, app, handle, final=True) is FINISHED
    assert (await handle.refresh()).state is TaskState.ARCHIVED


async def test_many_are_cancelled_in_one_call_with_one_answer_each(app: App) -> None:
    client = await app.open()
    waits = await client.enqueue(Task("work"))
    later = await client.enqueue(Task("work"), process_in=600)
    archived = await client.enqueue(Task("work"))
    await app.inspector.archive(archived)
    outcomes = await app.inspector.cancel_many([waits, later.id, "nothing", archived, waits.id])
    assert outcomes == [DELETED, DELETED, CancelOutcome.NOT_FOUND, FINISHED, DELETED]
    assert [outcome.value for outcome in outcomes[:3]] == ["deleted", "deleted", "not_found"]


async def test_several_tasks_are_a_list_and_never_a_bare_string(app: App) -> None:
    inspector = app.inspector
    for call in (
        lambda: inspector.cancel_many("task-id"),
        lambda: inspector.find_many("task-id"),
        lambda: inspector.transfer("task-id", "other"),
    ):
        with pytest.raises(TypeError, match=r"tasks takes a list.*write \['task-id'\]"):
            await call()
    with pytest.raises(TypeError, match="name a task by its id, its TaskHandle or its TaskInfo, not by 17"):
        await app.cancel(17)  # type: ignore[arg-type]


async def test_deleting_one_raises_what_went_wrong(app: App) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task("long")
    async def long() -> None:
        started.set()
        await go_on.wait()

    waits = await app.enqueue(Task("work"), process_in=600)
    await app.delete(waits.id)
    with pytest.raises(TaskNotFound):
        await app.delete(waits)
    async with app.running():
        handle = await long.enqueue()
        await within(started.wait())
        with pytest.raises(WrongState, match="is active"):
            await app.delete(handle)
        go_on.set()


async def test_a_task_that_a_server_takes_at_this_moment_is_stopped(app: App) -> None:
    """Between the look and the deletion a server may take it: it is looked at again."""
    started = asyncio.Event()

    @app.task("long")
    async def long() -> None:
        started.set()
        await asyncio.Event().wait()

    handle = await long.enqueue()
    find, looks = app.broker.find, 0

    async def find_then_start(refs: Any) -> Any:
        nonlocal looks
        looks += 1
        found = await find(refs)
        if looks == 1:
            await stack.enter_async_context(app.running())
            await within(started.wait())
        return found

    async with contextlib.AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app.broker, "find", find_then_start)
            assert await app.cancel(handle, final=True) is STOPPING
        await state_of(app, handle.info, TaskState.ARCHIVED)
    assert looks == 2
