"""Arguments and results: each lane checks them in the same way."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asynqio import App, FixedRetry, Task, TaskFailed, TaskState
from asynqio.errors import NotSerializable
from tests.runtime.lanes import value_tasks
from tests.runtime.lanes.value_tasks import Aliased, Secret
from tests.runtime.waiting import state_of, within

LANES = pytest.mark.parametrize("lane", ["loop", "thread", "process"])


def declare(app: App, name: str, lane: str) -> Any:
    function = getattr(value_tasks, f"{name}_async" if lane == "loop" else name)
    run_in: Any = "process" if lane == "process" else "thread"
    return app.task(name, run_in=run_in, retention=60, retry=FixedRetry(0))(function)


@LANES
async def test_an_annotation_that_cannot_be_resolved_leaves_the_others_checked(
    app: App, lane: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = declare(app, "partly_checked", lane)
    with caplog.at_level(logging.WARNING, "asynqio"):
        async with app.server(processes=1).running(app.mux):
            for _ in range(2):
                handle = await task.enqueue("any", 2, value_tasks.Later(3))
                assert await within(handle.result()) == ["any", 2, 3]
            for wrong in (b'{"hidden":1,"number":"two"}', b'{"hidden":1,"number":2,"later":{"x":"y"}}'):
                info = await app.enqueue(Task("partly_checked", wrong))
                found = await state_of(app, info, TaskState.ARCHIVED)
                assert "Expected `int`, got `str`" in found.last_error
    records = [one for one in caplog.records if getattr(one, "event", "") == "annotations_unresolved"]
    assert [one.__dict__["arguments"] for one in records] in ([["hidden"]], [["hidden"]] * 2)
    assert len({one.process for one in records}) == len(records), "once per process"


@LANES
async def test_models_in_containers_are_equal_as_argument_and_as_result(app: App, lane: str) -> None:
    task = declare(app, "echo", lane)
    models = [Aliased(X=3), Aliased(X=4)]
    async with app.server(processes=1).running(app.mux):
        assert await within((await task.enqueue(models)).result()) == models
        assert await within((await task.enqueue(None)).result()) is None


@LANES
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("number", r"\$\.a\[1\] is nan, which JSON does not have"), ("secret", "field 'password' of Secret")],
)
async def test_a_result_that_would_change_fails_the_task_once(
    app: App, lane: str, kind: str, reason: str
) -> None:
    task = declare(app, "refused", lane)
    async with app.server(processes=1).running(app.mux):
        handle = await task.enqueue(kind)
        with pytest.raises(TaskFailed, match=f"its result cannot be kept: {reason}"):
            await within(handle.result())
        info = await handle.refresh()
    assert (info.state, info.retried) == (TaskState.ARCHIVED, 0)
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 1)


async def test_arguments_that_would_change_are_refused_when_they_are_enqueued(app: App) -> None:
    @app.task("any")
    async def any_value(value: Any) -> None: ...

    async with app:
        for value in ({"a": float("inf")}, Secret.model_validate({"password": "hunter2"})):
            with pytest.raises(NotSerializable, match=r"\$\.value\.a is inf|field 'password' of Secret"):
                await any_value.enqueue(value)
        with pytest.raises(NotSerializable, match=r"\$\[0\] is inf"):
            Task.json("any", [float("inf")])
        assert await app.broker.queues() == []
