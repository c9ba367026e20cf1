"""What runs around handlers in their own thread or process: middleware, and the initializer of task processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asynqio import App, ConfigError, FixedRetry, Server, Task, TaskState
from asynqio.mux import Mux, Next
from tests.runtime.lanes import lane_tasks
from tests.runtime.waiting import state_of, within

# --- middleware -----------------------------------------------------------------------------------


async def test_middleware_runs_in_the_thread_of_its_handler(app: App) -> None:
    seen: list[tuple[str, int]] = []

    @app.middleware(in_handler_thread=True)
    def closing(task: Task, call_next: Callable[[Task], Any]) -> Any:
        seen.append(("before", threading.get_ident()))
        try:
            return call_next(task)
        finally:
            seen.append(("after", threading.get_ident()))

    @app.middleware(in_handler_thread=True)
    def inner(task: Task, call_next: Callable[[Task], Any]) -> Any:
        seen.append(("inner", threading.get_ident()))
        return f"{call_next(task)}!"

    @app.middleware
    async def outer(task: Task, call_next: Next) -> Any:
        seen.append(("outer", 0))
        return await call_next(task)

    @app.task("work", retention=60)
    def work(text: str) -> str:
        seen.append(("handler", threading.get_ident()))
        return text

    async with app.server().running(app.mux):
        assert await within((await work.enqueue("done")).result()) == "done!"
    names, threads = [name for name, _ in seen], {thread for _, thread in seen[1:]}
    assert names == ["outer", "before", "inner", "handler", "after"]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


async def test_thread_middleware_sees_the_error_of_its_handler(app: App) -> None:
    seen = []

    @app.middleware(in_handler_thread=True)
    def closing(task: Task, call_next: Callable[[Task], Any]) -> Any:
        try:
            return call_next(task)
        except ValueError as error:
            seen.append(str(error))
            raise

    @app.task("work", max_retry=0)
    def work() -> None:
        raise ValueError("no")

    async with app.server().running(app.mux):
        info = await state_of(app, (await work.enqueue()).info, TaskState.ARCHIVED)
    assert seen == ["no"]
    assert info.last_error == "ValueError: no"


async def test_thread_middleware_does_not_wrap_coroutine_handlers(app: App) -> None:
    called = []

    @app.middleware(in_handler_thread=True)
    def closing(task: Task, call_next: Callable[[Task], Any]) -> Any:
        called.append(task.type)
        return call_next(task)

    @app.task("coroutine", retention=60)
    async def coroutine() -> str:
        return "done"

    async with app.server().running(app.mux):
        assert await within((await coroutine.enqueue()).result()) == "done"
    assert called == []


async def test_thread_middleware_runs_in_the_process_of_a_process_task(app: App) -> None:
    app.middleware(in_handler_thread=True)(lane_tasks.leave_trail)
    show = app.task("show", run_in="process", retention=60)(lane_tasks.show_trail)
    double = app.task("double", run_in="process", retention=60)(lane_tasks.double_async)
    async with app.server(processes=1).running(app.mux):
        assert await within((await double.enqueue(2)).result()) == 4
        trail = await within((await show.enqueue()).result())
    # A coroutine has run to its end when the middleware gets its result
    assert [step.split()[0] for step in trail] == ["before", "result", "after", "before"]
    assert trail[1] == "result 4"
    assert lane_tasks.trail == [], "nothing of it ran here"


def test_thread_middleware_must_be_a_plain_function() -> None:
    async def coroutine(task: Task, call_next: Callable[[Task], Any]) -> Any: ...

    def plain(task: Task, call_next: Callable[[Task], Any]) -> Any: ...

    with pytest.raises(ConfigError, match="must be a plain function"):
        Mux().use(coroutine, in_handler_thread=True)
    with pytest.raises(ConfigError, match="or a plain one with in_handler_thread=True"):
        Mux().use(plain)


def test_thread_middleware_around_process_tasks_must_be_importable() -> None:
    def local(task: Task, call_next: Callable[[Task], Any]) -> Any: ...

    first, second = App("memory://"), App("memory://")
    first.task("double", run_in="process")(lane_tasks.double)
    with pytest.raises(ConfigError, match="middleware around process handlers needs a function at the top"):
        first.middleware(in_handler_thread=True)(local)
    second.middleware(in_handler_thread=True)(local)
    with pytest.raises(ConfigError, match="middleware around process handlers needs a function at the top"):
        second.task("double", run_in="process")(lane_tasks.double)


# --- the initializer of task processes ------------------------------------------------------------


async def test_the_initializer_runs_once_in_each_process_before_its_first_task(app: App) -> None:
    app.process_initializer(lane_tasks.count_initializations)
    show = app.task("show", run_in="process", retention=60)(lane_tasks.show_trail)
    pid = app.task("pid", run_in="process", retention=60)(lane_tasks.pid)
    async with app.server(processes=1, process_max_tasks=2).running(app.mux):
        first = await within((await pid.enqueue()).result())
        assert await within((await show.enqueue()).result()) == [f"initialized {first}"]
        second = await within((await pid.enqueue()).result())
        assert await within((await show.enqueue()).result()) == [f"initialized {second}"]
    assert first != second


async def test_a_server_and_a_constructor_take_an_initializer_too(url: str) -> None:
    mux = Mux()
    mux.handle("trail", lane_tasks.trail_of_task, run_in="process")
    async with App(url, process_initializer=lane_tasks.initialize_async) as app:
        info = await app.enqueue(Task("trail", retention=60))
        async with Server(app.broker, processes=1, process_initializer=lane_tasks.initialize_async).running(
            mux
        ):
            assert await within(app.result(info.id)) == ["initialized by a coroutine"]
        assert app.process_initializer_hook is lane_tasks.initialize_async


async def test_an_initializer_that_raises_fails_the_task_and_says_why(app: App) -> None:
    errors = []

    @app.on_error
    def on_error(task: Task, error: BaseException, final: bool) -> None:
        errors.append((str(error), repr(error.__cause__), final))

    app.process_initializer(lane_tasks.cannot_initialize)
    double = app.task("double", run_in="process", max_retry=1, retry=FixedRetry(0))(lane_tasks.double)
    async with app.server(processes=1).running(app.mux):
        info = await state_of(app, (await double.enqueue(1)).info, TaskState.ARCHIVED)
    text = (
        "the process initializer tests.runtime.lanes.lane_tasks.cannot_initialize failed: "
        "OSError: the model file is missing"
    )
    assert info.last_error == text
    assert info.retried == 1, "each attempt had its own process, and was counted"
    assert info.crashes == 0
    cause = "OSError('the model file is missing')"
    assert errors == [(text, cause, False), (text, cause, True)]


async def test_the_next_process_tries_its_initializer_again(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNQIO_TEST_MARKER", str(tmp_path / "marker"))
    app.process_initializer(lane_tasks.cannot_initialize_once)
    double = app.task("double", run_in="process", retention=60, retry=FixedRetry(0))(lane_tasks.double)
    async with app.server(processes=1).running(app.mux):
        assert await within((await double.enqueue(2)).result()) == 4


async def test_an_initializer_that_kills_its_process_archives_the_task_as_poison(app: App) -> None:
    app.process_initializer(lane_tasks.dies_initializing)
    double = app.task("double", run_in="process", retry=FixedRetry(0))(lane_tasks.double)
    async with app.server(processes=1, max_crashes=2).running(app.mux):
        info = await state_of(app, (await double.enqueue(1)).info, TaskState.ARCHIVED)
    assert "exited with status 7" in info.last_error


def test_an_initializer_that_no_other_process_can_import_is_refused() -> None:
    with pytest.raises(ConfigError, match="process_initializer needs a function at the top of a module"):
        Server("memory://", process_initializer=lambda: None)
