"""`run_worker` and `run_scheduler` run when plain code calls them, and are awaited on an event loop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from asynqio import App, Scheduler, Server
from asynqio.app.run import Run


@pytest.fixture
def app() -> App:
    app = App("memory://")

    @app.task("work")
    async def work() -> None: ...

    return app


def runs_of(app: App, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has run, to the end; a SIGTERM comes as soon as it waits."""
    ended: list[str] = []

    def terminated(name: str, run: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
        async def running(self: object, *args: object) -> None:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
            await run(self, *args)
            ended.append(name)

        return running

    monkeypatch.setattr(Server, "run", terminated("worker", Server.run))
    monkeypatch.setattr(Scheduler, "run", terminated("scheduler", Scheduler.run))
    return ended


@pytest.fixture(autouse=True)
def survive() -> Iterator[None]:
    """A signal that no loop handles ends nothing."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def test_plain_code_just_calls_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = runs_of(app, monkeypatch)
    app.run_worker(concurrency=1)
    assert ended == ["worker"]
    app.run_scheduler()
    assert ended == ["worker", "scheduler"]


def test_asyncio_run_of_it_works_as_well(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = runs_of(app, monkeypatch)
    asyncio.run(app.run_worker())
    assert ended == ["worker"]


async def test_on_an_event_loop_it_is_awaited(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = runs_of(app, monkeypatch)
    run = app.run_worker(concurrency=1)
    assert ended == []
    await run
    assert ended == ["worker"]
    await asyncio.create_task(app.run_scheduler())
    assert ended == ["worker", "scheduler"]


async def test_it_can_be_cancelled() -> None:
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Run(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_goes_wrong_is_raised(app: App) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        app.run_worker(concurrency=-1)
