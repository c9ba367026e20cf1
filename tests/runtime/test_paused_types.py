"""Servers do not run tasks of a paused type, on every broker."""

from __future__ import annotations

import asyncio

import pytest

from asynqio import App, Inspector, TaskState
from asynqio.core import paused_types as pausing
from asynqio.core.paused_types import defer_seconds
from tests.runtime.waiting import state_of, within


@pytest.mark.parametrize(("lasted", "seconds"), [(0, 5), (20, 5), (60, 15), (1_200, 300), (86_400, 300)])
def test_a_task_is_deferred_for_a_quarter_of_the_pause(lasted: float, seconds: float) -> None:
    assert defer_seconds(1_000.0, 1_000.0 + lasted) == seconds


async def test_tasks_of_a_paused_type_wait_uncounted_and_others_run(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "MIN_DELAY", 0.2)
    ran: asyncio.Queue[str] = asyncio.Queue()

    @app.task("stopped", retention=60)
    async def stopped() -> None:
        ran.put_nowait("stopped")

    @app.task("goes")
    async def goes() -> None:
        ran.put_nowait("goes")

    async with Inspector(app.broker) as inspector:
        # Given a type that was paused before the server came
        assert await inspector.pause_type("default", "stopped")
        first = await stopped.enqueue()
        async with app.server().running(app.mux):
            # Then its task is deferred, as if it had never been fetched, while others run
            await goes.enqueue()
            assert await within(ran.get()) == "goes"
            deferred = await state_of(app, first.info, TaskState.RETRY)
            assert (deferred.retried, deferred.last_error, deferred.deferrals) == (0, "", 0)
            # When it is resumed
            assert await inspector.resume_type("default", "stopped")
            assert await inspector.paused_types("default") == {}
            # Then it runs
            assert await within(ran.get()) == "stopped"
            await state_of(app, first.info, TaskState.COMPLETED)


async def test_a_running_server_is_notified_of_a_pause(app: App) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()

    @app.task("work", retention=60)
    async def work() -> None:
        ran.put_nowait("work")

    async with Inspector(app.broker) as inspector, app.server().running(app.mux):
        await work.enqueue()
        await within(ran.get())
        await inspector.pause_type("default", "work")
        while True:  # until the server is notified: no signal says when
            info = (await work.enqueue()).info
            info = await state_of(app, info, TaskState.RETRY, TaskState.COMPLETED)
            if info.state is TaskState.RETRY:
                break
        assert info.retried == 0
