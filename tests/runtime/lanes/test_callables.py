"""Every callable that is declared runs, or is refused; none counts as done without its body."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from asynqio import App, ConfigError, Mux, Task, TaskState
from asynqio.mux import Lane
from tests.runtime.lanes import callables
from tests.runtime.lanes.callables import AsyncCall, GeneratorCall, PlainCall, Service
from tests.runtime.waiting import state_of, within


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """Lanes are the same on every broker."""
    async with App("memory://") as app:
        yield app


RUN: dict[str, Callable[..., Any]] = {
    "coroutine function": callables.double,
    "decorated": callables.decorated,
    "decorated twice": callables.decorated_twice,
    "nested": callables.nested,
    "awaitable": callables.awaitable,
    "plain": callables.plain,
    "method": Service().method,
    "plain method": Service().plain_method,
    "static method": Service.static,
    "class method": Service.of_class,
    "async call": AsyncCall(),
    "plain call": PlainCall(),
    "partial": functools.partial(callables.double),
    "partial of an async call": functools.partial(AsyncCall()),
    "partial of a decorated one": functools.partial(callables.decorated),
    "generator coroutine": callables.generator_coroutine,
}

REFUSED: dict[str, Any] = {
    "generator": callables.generator,
    "async generator": callables.async_generator,
    "partial of a generator": functools.partial(callables.generator),
    "call that is a generator": GeneratorCall(),
    "class": Service,
    "class method object": classmethod(Service.of_class.__func__),  # type: ignore[attr-defined]
    "no function": 7,
}

#: What a declaration cannot see: it fails at the first run.
FAIL: dict[str, Callable[..., Any]] = {
    "decorated generator": callables.decorated_generator,
    "decorated async generator": callables.decorated_async_generator,
    "context manager": callables.context_manager,
    "async context manager": callables.async_context_manager,
    "coroutine that returns a generator": callables.returns_generator,
}


def _of_task(function: Callable[..., Any]) -> Callable[[Task], Any]:
    """The same callable as a handler of a mux: of a task."""
    return functools.partial(_call, function)


def _call(function: Callable[..., Any], task: Task) -> Any:
    return function(**task.load())


@pytest.mark.parametrize("kind", RUN)
async def test_every_callable_runs(app: App, kind: str) -> None:
    task = app.task("declared", retention=60)(RUN[kind])
    app.mux.handle("mux", _of_task(RUN[kind]))
    async with app.server().running(app.mux):
        assert await within((await task.enqueue(number=4)).result()) == 8
        info = await app.enqueue(Task.json("mux", {"number": 4}, retention=60))
        assert (await state_of(app, info, TaskState.COMPLETED)).result == b"8"


@pytest.mark.parametrize("name", ["double", "decorated", "decorated_twice", "nested", "awaitable", "plain"])
async def test_every_callable_runs_in_a_process(app: App, name: str) -> None:
    task = app.task("declared", run_in="process", retention=60)(getattr(callables, name))
    async with app.server(processes=1).running(app.mux):
        assert await within((await task.enqueue(number=4)).result()) == 8


@pytest.mark.parametrize("run_in", ["thread", "process"])
@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_run_is_refused_at_its_declaration(kind: str, run_in: Lane) -> None:
    app = App("memory://")
    with pytest.raises(ConfigError):
        app.task("declared", run_in=run_in)(REFUSED[kind])
    with pytest.raises(ConfigError):
        Mux().handle("mux", REFUSED[kind], run_in=run_in)


@pytest.mark.parametrize("retention", [0, 60])
@pytest.mark.parametrize("kind", FAIL)
async def test_a_body_that_did_not_run_archives_its_task(app: App, kind: str, retention: int) -> None:
    task = app.task("declared", retention=retention)(FAIL[kind])
    async with app.server().running(app.mux):
        handle = await task.enqueue(number=4)
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert "never ran" in info.last_error


@pytest.mark.parametrize("name", ["decorated_generator", "decorated_async_generator", "context_manager"])
async def test_a_body_that_did_not_run_in_a_process_archives_its_task(app: App, name: str) -> None:
    task = app.task("declared", run_in="process")(getattr(callables, name))
    async with app.server(processes=1).running(app.mux):
        handle = await task.enqueue(number=4)
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert "never ran" in info.last_error


async def test_a_coroutine_that_thread_middleware_drops_is_run(app: App) -> None:
    ran: list[int] = []

    @app.middleware(in_handler_thread=True)
    def drop(task: Task, call_next: Callable[[Task], Any]) -> None:
        call_next(task)

    @app.task("declared", retention=60)
    @callables.undecorated
    async def work(number: int) -> None:
        ran.append(number)

    async with app.server().running(app.mux):
        await within((await work.enqueue(number=4)).result())
    assert ran == [4]


@pytest.mark.parametrize("hook", [callables.generator, callables.async_generator, Service])
def test_a_hook_that_would_not_run_is_refused(hook: Callable[..., Any]) -> None:
    app = App("memory://")
    for declare in (app.on_success, app.on_retry, app.on_failure):
        with pytest.raises(ConfigError):
            declare(hook)


def test_a_method_is_refused_as_a_task() -> None:
    app = App("memory://")

    with pytest.raises(ConfigError, match="is a method"):

        class Mailer:
            @app.task("send")
            async def send(self, to: str) -> None: ...

    with pytest.raises(ConfigError, match="is a method"):

        class Shop:
            @classmethod
            @app.task("order")
            def order(cls, number: int) -> None: ...

    with pytest.raises(ConfigError, match="is a method"):
        app.task("method")(Service.plain_method)
    with pytest.raises(ConfigError, match="is a method"):
        Mux().handle("method", cast("Any", Service.plain_method))


async def test_functions_in_a_class_that_need_no_object_run(app: App) -> None:
    class Tasks:
        @app.task("below", retention=60)
        @staticmethod
        def below(number: int) -> int:
            return 2 * number

        @staticmethod
        @app.task("above", retention=60)
        def above(number: int) -> int:
            return 2 * number

    async with app.server().running(app.mux):
        assert await within((await Tasks.below.enqueue(4)).result()) == 8
        assert await within((await Tasks.above.enqueue(4)).result()) == 8


def test_a_handler_that_does_not_take_a_task_is_refused() -> None:
    handlers: list[Any] = [lambda: None, lambda task, other: None]
    for handler in handlers:
        with pytest.raises(ConfigError, match="one argument, the task"):
            Mux().handle("mux", handler)
