"""Hooks of tasks and apps: when each is called, with what, and what a hook that fails costs."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from asynqio import (
    App,
    ConfigError,
    FixedRetry,
    RetryIn,
    RevokeTask,
    Server,
    SkipRetry,
    Task,
    TaskState,
    current,
)
from asynqio.core.task.message import TaskMessage
from asynqio.mux import Mux
from tests.runtime.lanes.lane_tasks import double
from tests.runtime.waiting import gone, state_of, within

NOW, LATER = FixedRetry(0), FixedRetry(3600)


class Calls:
    """Hooks that write down how they were called."""

    def __init__(self, app: App) -> None:
        self.made: list[tuple[Any, ...]] = []

        @app.on_error
        async def on_error(task: Task, error: BaseException, final: bool) -> None:
            self.made.append(("error", repr(error), final))

        @app.on_success
        async def on_success(task: Task, result: Any) -> None:
            self.made.append(("success", result))

        @app.on_retry
        async def on_retry(task: Task, error: BaseException) -> None:
            self.made.append(("retry", repr(error)))

        @app.on_failure
        async def on_failure(task: Task, error: BaseException) -> None:
            self.made.append(("failure", repr(error)))


async def calls_for(app: App, *errors: BaseException, max_retry: int = 1) -> list[tuple[Any, ...]]:
    """The calls for a task that raises these errors, one per attempt, and then succeeds."""
    calls, left = Calls(app), list(errors)

    @app.task("work", max_retry=max_retry, retry=NOW, retention=60)
    async def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    async with app.server(unknown_delay=3600).running(app.mux):
        info = (await work.enqueue()).info
        if any(isinstance(error, RevokeTask) for error in errors):
            await gone(app, info)
        else:
            await state_of(app, info, TaskState.COMPLETED, TaskState.ARCHIVED)
    return calls.made


def caused(directive: BaseException, cause: BaseException) -> BaseException:
    directive.__cause__ = cause
    return directive


VALUE = ValueError("no")
SKIPPED = caused(ValueError("no"), SkipRetry())


@pytest.mark.parametrize(
    ("errors", "calls"),
    [
        ([], [("success", "done")]),
        (
            [VALUE],
            [("error", "ValueError('no')", False), ("retry", "ValueError('no')"), ("success", "done")],
        ),
        (
            [VALUE, VALUE],
            [
                ("error", "ValueError('no')", False),
                ("retry", "ValueError('no')"),
                ("error", "ValueError('no')", True),
                ("failure", "ValueError('no')"),
            ],
        ),
        # Directives are no errors
        ([RetryIn(0)], [("success", "done")]),
        ([caused(RetryIn(0), VALUE)], [("success", "done")]),
        ([RevokeTask("no")], []),
        ([SkipRetry("no")], [("failure", "SkipRetry('no')")]),
        # … but their causes are, when the attempt counts as failed
        (
            [caused(SkipRetry(), VALUE)],
            [("error", "ValueError('no')", True), ("failure", "ValueError('no')")],
        ),
        ([SKIPPED], [("error", "ValueError('no')", True), ("failure", "ValueError('no')")]),
        (
            [caused(RetryIn(0, counted=True), KeyError("x"))],
            [("error", "KeyError('x')", False), ("retry", "KeyError('x')"), ("success", "done")],
        ),
        (
            [RetryIn(0, "busy", counted=True), RetryIn(0, "busy", counted=True)],
            [("retry", "RetryIn('busy')"), ("failure", "RetryIn('busy')")],
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_each_end_of_an_attempt_calls_its_hooks(
    app: App, errors: list[BaseException], calls: list[tuple[Any, ...]]
) -> None:
    assert await calls_for(app, *errors) == calls


async def test_a_counted_retry_in_uses_up_the_retries(app: App) -> None:
    @app.task("busy", max_retry=1)
    async def busy() -> None:
        raise RetryIn(0, counted=True)

    async with app.server().running(app.mux):
        info = await state_of(app, (await busy.enqueue()).info, TaskState.ARCHIVED)
        [stats] = await app.broker.stats(["default"])
    assert info.retried == 1
    assert (stats.processed, stats.failed) == (2, 2)


async def test_errors_that_are_no_failures_call_no_hook(url: str) -> None:
    async with App(url, is_failure=lambda error: not isinstance(error, ValueError)) as app:
        assert await calls_for(app, VALUE) == [("success", "done")]


async def test_a_type_without_a_handler_is_an_error_that_is_not_final(app: App) -> None:
    calls = Calls(app)
    async with app.server(unknown_delay=3600).running(app.mux):
        await state_of(app, await app.enqueue(Task("nobody:knows")), TaskState.RETRY)
    assert calls.made == [("error", "HandlerNotFound('handler not found for task \"nobody:knows\"')", False)]


async def test_an_archived_task_without_a_handler_calls_the_failure_hook_of_the_app(app: App) -> None:
    calls = Calls(app)
    async with app.server(unknown_tasks="archive").running(app.mux):
        await state_of(app, await app.enqueue(Task("nobody:knows")), TaskState.ARCHIVED)
    assert [call[0] for call in calls.made] == ["error", "failure"]
    assert calls.made[0][2] is True


async def test_the_hooks_of_a_task_come_before_those_of_the_app(app: App) -> None:
    made: list[tuple[str, str]] = []

    def hook(name: str) -> Any:
        async def call(task: Task, value: object) -> None:
            made.append((name, str(value)))

        return call

    app.on_success(hook("app"))
    app.on_failure(hook("app fails"))

    @app.task("good", on_success=hook("task"), on_failure=hook("never"))
    async def good() -> str:
        return "done"

    @app.task("bad", max_retry=0, on_success=hook("never"), on_retry=hook("never"), on_failure=hook("fails"))
    async def bad() -> None:
        raise ValueError("no")

    @app.task("other", on_retry=hook("retries"), retry=LATER)
    async def other() -> None:
        raise ValueError("once")

    async with app.server(concurrency=1).running(app.mux):
        for function, state in ((good, None), (bad, TaskState.ARCHIVED), (other, TaskState.RETRY)):
            info = (await function.enqueue()).info
            await (state_of(app, info, state) if state else gone(app, info))
    assert made == [
        ("task", "done"),
        ("app", "done"),
        ("fails", "no"),
        ("app fails", "no"),
        ("retries", "once"),
    ]


async def test_a_plain_hook_runs_in_a_thread_and_knows_its_task(app: App) -> None:
    seen: list[tuple[str, bool]] = []

    def after(task: Task, result: object) -> None:
        seen.append((current().id, threading.current_thread() is threading.main_thread()))

    @app.task("work", on_success=after)
    async def work() -> None: ...

    async with app.server().running(app.mux):
        info = (await work.enqueue()).info
        await gone(app, info)
    assert seen == [(info.id, False)]


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3)], ids=repr)
async def test_a_hook_that_fails_costs_nothing(
    app: App, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    called = []

    def broken(task: Task, value: object) -> None:
        raise error

    @app.on_success
    async def behind(task: Task, value: object) -> None:
        called.append(value)

    @app.task("work", on_success=broken, retention=60)
    async def work() -> int:
        return 7

    with caplog.at_level(logging.ERROR):
        async with app.server().running(app.mux):
            handle = await work.enqueue()
            assert await within(handle.result()) == 7
    assert called == [7]
    [failed] = [record for record in caplog.records if getattr(record, "event", "") == "hook_failed"]
    assert (failed.__dict__["hook"], failed.__dict__["task_id"]) == ("on_success", handle.id)


async def test_a_task_is_settled_after_its_hooks(app: App) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    @app.on_success
    async def slow(task: Task, value: object) -> None:
        reached.set()
        await go_on.wait()

    @app.task("work", retention=60)
    async def work() -> None: ...

    async with app.server().running(app.mux):
        handle = await work.enqueue()
        await within(reached.wait())
        assert (await handle.refresh()).state is TaskState.ACTIVE
        go_on.set()
        await state_of(app, handle.info, TaskState.COMPLETED)


async def test_a_server_that_stops_does_not_wait_for_a_hook_forever(app: App) -> None:
    reached = asyncio.Event()

    @app.on_success
    async def endless(task: Task, value: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    @app.task("work", retention=60)
    async def work() -> str:
        return "done"

    async with app.server(shutdown_timeout=0.1).running(app.mux):
        handle = await work.enqueue()
        await within(reached.wait())
    assert (await handle.refresh()).state is TaskState.COMPLETED


async def test_a_process_task_calls_its_hooks_in_the_server(app: App) -> None:
    results = []

    @app.on_success
    async def keep(task: Task, result: object) -> None:
        results.append(result)

    app.task("double", run_in="process", retention=60)(double)
    async with app.server(processes=1).running(app.mux):
        handle = await app.tasks["double"].enqueue(21)
        await within(handle.result())
    assert results == [b"42"], "as it is stored"


async def test_the_last_crash_of_a_dead_server_calls_the_failure_hook(app: App) -> None:
    failed = asyncio.Event()
    errors = []

    @app.on_failure
    async def keep(task: Task, error: BaseException) -> None:
        errors.append(type(error).__name__)
        failed.set()

    @app.task("work")
    async def work() -> None: ...

    info = (await work.enqueue()).info
    await app.broker.dequeue(["default"], 1, 1.0, "host:1:gone")
    async with app.server(lease=1, max_crashes=1).running(app.mux):
        await state_of(app, info, TaskState.ARCHIVED)
        await within(failed.wait())
    assert errors == ["LeaseExpired"]


async def test_every_crash_of_a_dead_server_calls_the_hooks_and_asks_the_policy(app: App) -> None:
    heard: list[tuple[str, str, object]] = []
    done = asyncio.Event()

    def retry(retried: int, error: BaseException, message: TaskMessage) -> float:
        heard.append(("retry", type(error).__name__, retried))
        return 0.0

    def is_failure(error: BaseException) -> bool:
        heard.append(("is_failure", type(error).__name__, None))
        return True

    app = App(app.broker, is_failure=is_failure)

    @app.on_error
    async def on_error(task: Task, error: BaseException, final: bool) -> None:
        heard.append(("on_error", type(error).__name__, final))

    @app.on_retry
    async def on_retry(task: Task, error: BaseException) -> None:
        heard.append(("on_retry", type(error).__name__, None))

    @app.on_failure
    async def on_failure(task: Task, error: BaseException) -> None:
        heard.append(("on_failure", type(error).__name__, None))
        done.set()

    @app.task("work", retry=retry)
    async def work() -> None: ...

    info = (await work.enqueue()).info
    async with app.server(lease=1, max_crashes=2).running(app.mux) as server:
        await server.stop()  # it only recovers
        for state in (TaskState.PENDING, TaskState.ARCHIVED):
            assert len(await app.broker.dequeue(["default"], 1, 0.1, "host:1:gone")) == 1
            await state_of(app, info, state)
        await within(done.wait())
    lost = "LeaseExpired"
    assert heard == [
        ("retry", lost, 0),
        ("is_failure", lost, None),
        ("on_error", lost, False),
        ("on_retry", lost, None),
        ("on_error", lost, True),
        ("on_failure", lost, None),
    ]


async def test_a_mux_has_hooks_too(app: App) -> None:
    mux, made = Mux(), []

    @mux.on_failure
    async def all_types(task: Task, error: BaseException) -> None:
        made.append("mux")

    async def own(task: Task, error: BaseException) -> None:
        made.append("handler")

    @mux.handle("work", on_failure=own)
    async def work(task: Task) -> None:
        raise SkipRetry

    async with Server(app.broker).running(mux):
        await state_of(app, await app.enqueue(Task("work")), TaskState.ARCHIVED)
    assert made == ["handler", "mux"]


def test_a_hook_that_is_no_function_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ConfigError, match="on_retry='soon' is not a function"):
        App("memory://").task("work", on_retry="soon")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="on_success=5 is not a function"):
        Mux().on_success(5)  # type: ignore[type-var]
