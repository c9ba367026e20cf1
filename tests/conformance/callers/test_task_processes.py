"""Handlers of the process lane enqueue tasks: any number, in turn, with and without an event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asynqio import App, TaskState
from tests.conformance.callers import task_process_handlers
from tests.conformance.conftest import BROKERS, broker_url
from tests.runtime.waiting import state_of, within


@pytest.mark.parametrize("kind", [*BROKERS, "remote"])
async def test_handlers_of_one_task_process_enqueue_in_every_way(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(broker_url, kind, tmp_path)
    monkeypatch.setenv("ASYNQIO_BROKER", url)
    app = App(url, retention=60, max_retry=0)
    app.task("child")(task_process_handlers.child.function)
    tasks = [
        app.task(handler.__name__, run_in="process")(handler) for handler in task_process_handlers.HANDLERS
    ]
    async with app, app.running(processes=1, shutdown_timeout=1):
        for number in range(2):
            for task in tasks:
                handle = await task.enqueue(number)
                if kind == "memory":
                    info = await state_of(app, handle.info, TaskState.ARCHIVED)
                    assert "memory:// keeps its tasks in one process" in info.last_error
                    assert "use sqlite:// or redis://" in info.last_error
                else:
                    id = await within(handle.result())
                    assert await within(app.result(id, int)) == number
