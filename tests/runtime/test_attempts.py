"""Attempts: how they end, and the state of the task afterwards."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import threading
import weakref
from decimal import Decimal
from typing import Any

import pytest

from asynqio import (
    App,
    ConfigError,
    FixedRetry,
    RetryIn,
    RevokeTask,
    SkipRetry,
    Task,
    TaskFailed,
    TaskState,
    UnknownTask,
    current,
)
from asynqio.errors import ResultNotKept, TaskNotFound
from tests.runtime.waiting import gone, state_of, within


async def test_what_the_handler_returns_is_the_result(app: App) -> None:
    @app.task("add", retention=60)
    async def add(a: int, b: int = 2) -> int:
        return a + b

    async with app.server().running(app.mux):
        handle = await add.enqueue(1)
        assert await within(handle.result()) == 3


async def test_a_task_without_retention_is_gone_when_it_is_done(app: App) -> None:
    @app.task("work")
    async def work() -> None: ...

    async with app.server().running(app.mux):
        handle = await work.enqueue()
        await gone(app, handle.info)
        with pytest.raises(TaskNotFound):
            await handle.refresh()
        [stats] = await app.broker.stats(["default"])
        assert (stats.size, stats.processed, stats.failed) == (0, 1, 0)


async def test_a_result_that_is_not_kept_raises(app: App) -> None:
    @app.task("work")
    async def work() -> int:
        return 1

    handle = await work.enqueue()
    with pytest.raises(ResultNotKept, match="retention"):
        await handle.result(timeout=5)


async def test_a_failure_is_retried_with_its_error_kept(app: App) -> None:
    attempts: list[int] = []

    @app.task("flaky", retry=FixedRetry(0.05), retention=60)
    async def flaky() -> str:
        attempts.append(current().retried)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "done"

    async with app.server().running(app.mux):
        handle = await flaky.enqueue()
        assert await within(handle.result()) == "done"
    assert attempts == [0, 1, 2]
    info = await handle.refresh()
    assert info.last_error == "ValueError: not yet"
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (3, 2)


async def test_after_the_last_retry_the_task_is_archived_and_its_result_raises(app: App) -> None:
    @app.task("hopeless", max_retry=1, retry=FixedRetry(0.01), retention=60)
    async def hopeless() -> None:
        raise ValueError("never")

    async with app.server().running(app.mux):
        handle = await hopeless.enqueue()
        with pytest.raises(TaskFailed, match="never"):
            await within(handle.result())
    assert (await handle.refresh()).retried == 1


@pytest.mark.parametrize(
    ("directive", "state", "failed"),
    [
        (SkipRetry("bad"), TaskState.ARCHIVED, 1),
        (RetryIn(3600), TaskState.RETRY, 0),
    ],
)
async def test_a_directive_decides_what_happens_to_the_task(
    app: App, directive: Exception, state: TaskState, failed: int
) -> None:
    @app.task("steer", retention=60)
    async def steer() -> None:
        raise directive

    async with app.server().running(app.mux):
        handle = await steer.enqueue()
        info = await state_of(app, handle.info, state)
        assert info.retried == 0
        [stats] = await app.broker.stats(["default"])
        assert stats.failed == failed


async def test_a_revoked_task_is_gone_even_with_retention(app: App) -> None:
    @app.task("revoked", retention=60)
    async def revoked() -> None:
        raise ValueError("wrapped") from RevokeTask()

    async with app.server().running(app.mux):
        handle = await revoked.enqueue()
        await gone(app, handle.info)


async def test_a_payload_that_does_not_fit_is_archived_without_calling_the_handler(app: App) -> None:
    called = []

    @app.task("typed")
    async def typed(number: int) -> None:
        called.append(number)

    async with app.server().running(app.mux):
        for payload in (b'{"number": "seven"}', b"\xff\x00", b"{}", b'{"number": 1, "other": 2}', None):
            info = await app.enqueue(Task("typed", payload))
            found = await state_of(app, info, TaskState.ARCHIVED)
            assert "does not fit" in found.last_error
        good = await typed.with_options(retention=60).enqueue(7)
        await within(good.result())
    assert called == [7]


async def test_an_unknown_type_is_deferred_without_counting(app: App) -> None:
    async with app.server(unknown_delay=3600).running(app.mux):
        info = await app.enqueue(Task("nobody:knows"))
        found = await state_of(app, info, TaskState.RETRY)
    assert found.retried == 0
    assert found.deferrals == 1
    assert 'handler not found for task "nobody:knows"' in found.last_error
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)


async def test_an_unknown_type_can_be_archived_or_failed(app: App) -> None:
    async with app.server(unknown_tasks=UnknownTask.ARCHIVE).running(app.mux):
        info = await app.enqueue(Task("nobody:knows"))
        await state_of(app, info, TaskState.ARCHIVED)
    async with app.server(unknown_tasks=UnknownTask.FAIL).running(app.mux):
        info = await app.enqueue(Task("nobody:knows"))
        assert (await state_of(app, info, TaskState.RETRY)).retried == 1


async def test_a_result_that_is_not_json_archives_the_task_and_does_not_run_it_again(app: App) -> None:
    runs = []

    @app.task("odd", retention=60, retry=FixedRetry(0))
    async def odd() -> object:
        runs.append(1)
        return object()

    async with app.server().running(app.mux):
        handle = await odd.enqueue()
        with pytest.raises(TaskFailed, match="its result cannot be kept"):
            await within(handle.result())
    assert runs == [1]


async def test_progress_and_results_of_a_running_task_are_visible(app: App) -> None:
    go_on = asyncio.Event()

    @app.task("slow", retention=60)
    async def slow() -> None:
        assert await current().report_progress({"step": 1})
        assert await current().write_result(b"half")
        await go_on.wait()
        current().report_progress(100)  # not awaited: stored before the end all the same

    async with app.server().running(app.mux):
        handle = await slow.enqueue()
        info = await state_of(app, handle.info, TaskState.ACTIVE)
        while info.result is None:
            info = await handle.refresh()
            await asyncio.sleep(0)
        assert (info.progress, info.result) == (b'{"step":1}', b"half")
        go_on.set()
        info = await state_of(app, handle.info, TaskState.COMPLETED)
        assert (info.progress, info.result) == (b"100", b"half")


async def test_the_context_describes_the_task(app: App) -> None:
    seen: dict[str, object] = {}

    @app.task("look", queue="special", max_retry=3, timeout=50, retention=9, headers={"trace": "abc"})
    def look() -> None:
        context = current()
        seen.update(
            id=context.id,
            type=context.type,
            queue=context.queue,
            retried=context.retried,
            max_retry=context.max_retry,
            headers=dict(context.headers),
            cancelled=context.cancelled,
            left=context.deadline - app.broker.clock.now(),
        )

    async with app.server(queues={"special": 1}).running(app.mux):
        handle = await look.enqueue()
        await state_of(app, handle.info, TaskState.COMPLETED)
    left = seen.pop("left")
    assert isinstance(left, float)
    assert 45 < left <= 50
    assert seen == {
        "id": handle.id,
        "type": "look",
        "queue": "special",
        "retried": 0,
        "max_retry": 3,
        "headers": {"trace": "abc"},
        "cancelled": False,
    }


def test_there_is_no_current_task_outside_of_a_handler() -> None:
    with pytest.raises(LookupError, match="inside a task handler"):
        current()


async def test_the_error_hook_is_called_for_every_failure_and_may_fail_itself(app: App) -> None:
    called: list[tuple[str, str, bool]] = []

    @app.on_error
    async def on_error(task: Task, error: BaseException, final: bool) -> None:
        called.append((task.type, str(error), final))
        raise RuntimeError("the hook is broken")

    @app.task("fails", max_retry=0)
    def fails() -> None:
        raise ValueError("no")

    async with app.server().running(app.mux):
        handle = await fails.enqueue()
        await state_of(app, handle.info, TaskState.ARCHIVED)
    assert called == [("fails", "no", True)]


async def test_a_broken_retry_policy_falls_back_to_the_default(app: App) -> None:
    def broken(retried: int, error: BaseException, message: object) -> float:
        raise RuntimeError("the policy is broken")

    @app.task("fails", retry=broken)
    async def fails() -> None:
        raise ValueError("no")

    async with app.server().running(app.mux):
        handle = await fails.enqueue()
        info = await state_of(app, handle.info, TaskState.RETRY)
    assert info.next_process_at >= info.last_failed_at + 15


@pytest.mark.parametrize("delay", [math.inf, -math.inf, math.nan, -1, "soon", None, Decimal("inf")], ids=repr)
async def test_an_invalid_delay_does_not_hide_the_error(
    app: App, delay: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task("fails", retry=lambda retried, error, message: delay)
    async def fails() -> None:
        raise ValueError("the real error")

    async with app.server().running(app.mux):
        handle = await fails.enqueue()
        info = await state_of(app, handle.info, TaskState.RETRY)
    assert info.last_error == "ValueError: the real error"
    assert info.last_failed_at + 15 <= info.next_process_at <= info.last_failed_at + 60
    assert "retry_policy_failed" in [getattr(record, "event", "") for record in caplog.records]


async def test_a_huge_delay_is_bounded(app: App) -> None:
    @app.task("fails", retry=lambda retried, error, message: 1e300)
    async def fails() -> None:
        raise ValueError("the real error")

    async with app.server().running(app.mux):
        handle = await fails.enqueue()
        info = await state_of(app, handle.info, TaskState.RETRY)
    assert info.last_error == "ValueError: the real error"
    assert info.next_process_at < 2e10


async def test_an_invalid_delay_does_not_make_an_uncounted_error_count() -> None:
    async with App("memory://", is_failure=lambda error: not isinstance(error, OSError)) as app:

        @app.task("busy", retry=lambda retried, error, message: math.nan)
        async def busy() -> None:
            raise OSError("busy")

        async with app.server().running(app.mux):
            handle = await busy.enqueue()
            info = await state_of(app, handle.info, TaskState.RETRY)
        assert info.retried == 0


def test_a_retry_function_that_is_a_coroutine_function_is_refused() -> None:
    async def later(retried: int, error: BaseException, message: object) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="plain function"):
        App("memory://").task("fails", retry=later)(lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("lane", ["loop", "thread"])
async def test_a_task_past_its_deadline_is_archived_at_once(app: App, lane: str) -> None:
    runs = []

    async def run() -> None:
        runs.append(1)

    def run_in_thread() -> None:
        runs.append(1)

    function = app.task("late", unique=600, retry=FixedRetry(0.01))(run if lane == "loop" else run_in_thread)
    handle = await function.with_options(deadline=app.broker.clock.now() + 0.05).enqueue()
    passed = math.ceil(app.broker.clock.now() + 0.05)  # Redis rounds deadlines up
    await asyncio.sleep(passed - app.broker.clock.now() + 0.05)
    async with app.server().running(app.mux):
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
        assert info.last_error.startswith("deadline exceeded")
        assert (runs, info.retried) == ([], 0)
        again = await function.with_options(retention=60).enqueue()  # the lock is free
        await within(again.result())


async def test_a_context_variable_set_by_one_task_is_not_seen_by_the_next(app: App) -> None:
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="clean")
    seen = []

    @app.task("leaky", retention=60)
    async def leaky() -> None:
        seen.append(variable.get())
        variable.set("dirty")

    async with app.server(concurrency=1).running(app.mux):
        handles = [await leaky.enqueue() for _ in range(3)]
        for handle in handles:
            await within(handle.result())
    assert seen == ["clean"] * 3


async def test_system_exit_in_a_handler_is_a_failure_of_the_task_only(app: App) -> None:
    @app.task("exits", max_retry=0)
    async def exits() -> None:
        raise SystemExit(3)

    @app.task("exits:thread", max_retry=0)
    def exits_in_thread() -> None:
        raise SystemExit(3)

    async with app.server().running(app.mux) as server:
        for function in (exits, exits_in_thread):
            handle = await function.enqueue()
            info = await state_of(app, handle.info, TaskState.ARCHIVED)
            assert info.last_error == "SystemExit: 3"
        assert server.info().status == "active"


async def test_the_state_of_the_lifespan_is_shared_with_handlers(app: App) -> None:
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    events = []

    @app.lifespan
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[dict[str, str]]:
        events.append("startup")
        yield {"database": "connection"}
        events.append("shutdown")

    @app.task("use", retention=60)
    async def use() -> str:
        value = current().state["database"]
        assert isinstance(value, str)
        return value

    @app.task("use:thread", retention=60)
    def use_in_thread() -> str:
        assert threading.current_thread() is not threading.main_thread()
        value = current().state["database"]
        assert isinstance(value, str)
        return value

    async with app.server().running(app.mux):
        assert await within((await use.enqueue()).result()) == "connection"
        assert await within((await use_in_thread.enqueue()).result()) == "connection"
        assert events == ["startup"]
    assert events == ["startup", "shutdown"]


@pytest.mark.parametrize("lane", ["coroutine", "thread"])
async def test_a_failed_attempt_leaves_no_reference_cycle(
    app: App, lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest keeps log records with their errors.
    monkeypatch.setattr(logging.getLogger("asynqio.server"), "disabled", True)
    errors: list[weakref.ref[BaseException]] = []

    class NoSeatsError(Exception):
        def __init__(self) -> None:
            super().__init__("no seats left")
            errors.append(weakref.ref(self))

    @app.task("coroutine", retry=FixedRetry(3600))
    async def in_coroutine() -> None:
        raise NoSeatsError

    @app.task("thread", retry=FixedRetry(3600))
    def in_thread() -> None:
        raise NoSeatsError

    gc.collect()
    gc.disable()
    try:
        async with app.server().running(app.mux):
            handle = await (in_coroutine if lane == "coroutine" else in_thread).enqueue()
            await state_of(app, handle.info, TaskState.RETRY)
        assert [error() for error in errors] == [None]
    finally:
        gc.enable()
