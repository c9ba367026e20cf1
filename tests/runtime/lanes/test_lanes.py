"""Lanes: handlers on the event loop, in threads and in processes, and how each is stopped."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time

import msgspec
import pytest

from asynqio import App, ConfigError, Mux, Server, Task, TaskFailed, TaskState, current
from asynqio.errors import TaskTimeout
from tests.runtime.lanes import lane_tasks
from tests.runtime.waiting import state_of, within


async def test_plain_functions_run_in_threads_concurrently(app: App) -> None:
    barrier = threading.Barrier(3)

    @app.task("meet", retention=60)
    def meet() -> int:
        barrier.wait(10)
        return threading.get_ident()

    async with app.server(concurrency=3).running(app.mux):
        handles = [await meet.enqueue() for _ in range(3)]
        idents = {await within(handle.result()) for handle in handles}
    assert len(idents) == 3
    assert threading.get_ident() not in idents


async def test_a_coroutine_is_cancelled_at_its_timeout(app: App) -> None:
    ended = asyncio.Event()

    @app.task("long", timeout=0.05)
    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with app.server().running(app.mux):
        handle = await long.enqueue()
        info = await state_of(app, handle.info, TaskState.RETRY)
    assert ended.is_set()
    assert "its timeout or deadline has passed" in info.last_error


async def test_an_absolute_deadline_stops_the_attempt(app: App) -> None:
    @app.task("long", timeout=3600)
    async def long() -> None:
        await asyncio.Event().wait()

    async with app.server().running(app.mux):
        deadline = app.broker.clock.now() + 0.1
        handle = await long.with_options(deadline=deadline).enqueue()
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert info.last_error.startswith("deadline exceeded: stopped after")
    assert app.broker.clock.now() >= deadline


async def test_each_of_many_deadlines_is_kept(app: App) -> None:
    @app.task("long")
    async def long() -> None:
        await asyncio.Event().wait()

    async with app.server(concurrency=50).running(app.mux) as server:
        handles = [await long.with_options(timeout=0.05 + number / 100).enqueue() for number in range(20)]
        stays = await long.enqueue()
        for handle in handles:
            await state_of(app, handle.info, TaskState.RETRY)
        assert [worker.id for worker in server.info().workers] == [stays.id]
        await stays.cancel()
        await state_of(app, stays.info, TaskState.RETRY)


async def test_a_coroutine_that_returns_after_its_cancellation_has_succeeded(app: App) -> None:
    @app.task("stubborn", timeout=0.05, retention=60)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "tidied up"
        return "never"

    async with app.server().running(app.mux):
        handle = await stubborn.enqueue()
        assert await within(handle.result()) == "tidied up"


async def test_a_thread_can_poll_its_cancellation(app: App) -> None:
    never = threading.Event()

    @app.task("thread", timeout=0.05, max_retry=0)
    def thread() -> None:
        while not current().cancelled:
            never.wait(0.005)
        current().check_cancelled()

    async with app.server().running(app.mux):
        handle = await thread.enqueue()
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert "its timeout or deadline has passed" in info.last_error


async def test_a_thread_that_ignores_its_deadline_keeps_slot_and_lease_and_is_reported_with_its_stack(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    runs = []

    @app.task("stubborn_thread", timeout=0.05, retention=60)
    def stubborn_thread() -> str:
        runs.append(1)
        release.wait(30)
        return "finished late"

    @app.task("next", retention=60)
    async def next_one() -> None: ...

    with caplog.at_level(logging.WARNING):
        async with app.server(concurrency=1, lease=1, stuck_after=0.2).running(app.mux) as server:
            handle = await stubborn_thread.enqueue()
            behind = await next_one.enqueue()
            # Well beyond its lease: no other server may take it, and its slot is not free.
            await asyncio.sleep(2.5)
            assert [worker.stuck for worker in server.info().workers] == [True]
            assert (await behind.refresh()).state is TaskState.PENDING
            assert (await handle.refresh()).state is TaskState.ACTIVE
            release.set()
            assert await within(handle.result()) == "finished late"
            await within(behind.result())
    assert runs == [1]
    assert "is stuck" in caplog.text
    assert "release.wait(30)" in caplog.text


async def test_cancellation_reaches_a_running_task(app: App) -> None:
    started = asyncio.Event()

    @app.task("long")
    async def long() -> None:
        started.set()
        await asyncio.Event().wait()

    async with app.server().running(app.mux):
        handle = await long.enqueue()
        await within(started.wait())
        await handle.cancel()
        info = await state_of(app, handle.info, TaskState.RETRY)
    assert info.last_error == "cancelled while it was running"
    assert info.retried == 1


async def test_a_blocked_event_loop_is_reported_with_its_stack(
    app: App, caplog: pytest.LogCaptureFixture, no_blocking: object
) -> None:
    no_blocking.deactivate()  # type: ignore[attr-defined]

    @app.task("blocks", retention=60)
    async def blocks() -> None:
        time.sleep(2.5)  # noqa: ASYNC251 - this is what must be noticed

    with caplog.at_level(logging.WARNING):
        async with app.server(lease=1, blocked_after=0.5).running(app.mux):
            handle = await blocks.enqueue()
            await within(handle.result())
    assert "the event loop has been blocked" in caplog.text
    assert "time.sleep(2.5)" in caplog.text
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 0)


# --- processes ------------------------------------------------------------------------------------


async def test_a_process_handler_runs_in_another_process_and_returns_its_result(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1).running(app.mux):
        assert await within((await tasks["double"].enqueue(21)).result()) == 42
        assert await within((await tasks["double_async"].enqueue(21)).result()) == 42
        assert await within((await tasks["pid"].enqueue()).result()) != os.getpid()


async def test_a_mux_handler_can_run_in_a_process(app: App) -> None:
    mux = Mux()
    mux.handle("plain:", lane_tasks.plain, run_in="process")
    async with Server(app.broker, processes=1).running(mux):
        info = await app.enqueue(Task.json("plain:x", [1], retention=60))
        assert await within(app.result(info.id)) == "plain:x [1]"


async def test_errors_and_directives_return_from_processes(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1).running(app.mux):
        odd = await state_of(app, (await tasks["odd"].enqueue()).info, TaskState.ARCHIVED)
        assert "OddError" in odd.last_error
        assert "7: odd" in odd.last_error
        gave_up = await state_of(app, (await tasks["give_up"].enqueue()).info, TaskState.ARCHIVED)
        assert gave_up.last_error == "ValueError: no way"
        later = await state_of(app, (await tasks["later"].enqueue()).info, TaskState.RETRY)
        assert later.retried == 0
        wrong = await app.enqueue(Task("double", b'{"number": "x"}'))
        assert "does not fit" in (await state_of(app, wrong, TaskState.ARCHIVED)).last_error


async def test_progress_and_results_return_from_processes(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1).running(app.mux):
        handle = await tasks["report"].enqueue()
        assert await within(handle.result()) == {"from": "child"}
        info = await handle.refresh()
        assert info.progress is not None
        assert msgspec.json.decode(info.progress)["pid"] != os.getpid()


async def test_an_endless_process_is_killed_at_its_deadline_and_the_pool_is_whole_again(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1).running(app.mux):
        before = await within((await tasks["pid"].enqueue()).result())
        handle = await tasks["spin"].enqueue()
        info = await state_of(app, handle.info, TaskState.RETRY)
        assert info.retried == 1
        assert "its timeout or deadline has passed" in info.last_error
        after = await within((await tasks["pid"].enqueue()).result())
        assert after != before
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)


async def test_waiting_for_a_process_does_not_count_as_running(app: App) -> None:
    nap = app.task("nap", run_in="process", timeout=1.0, max_retry=0, retention=60)(lane_tasks.nap)
    async with app.server(processes=1, concurrency=10).running(app.mux):
        handles = [await nap.enqueue(0.5) for _ in range(5)]
        for handle in handles:  # together 2.5 s on one process, each well within its second
            await within(handle.result())


async def test_a_handler_that_kills_its_process_is_archived_as_poison(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1, max_crashes=3).running(app.mux):
        handle = await tasks["die"].enqueue()
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
        assert info.crashes == 3
        assert info.last_error.startswith("crash loop: 3 workers in a row died")
        assert "status 9" in info.last_error
        assert await within((await tasks["double"].enqueue(1)).result()) == 2


async def test_processes_are_recycled_by_tasks_and_by_memory(app: App) -> None:
    tasks = lane_tasks.declare(app)
    async with app.server(processes=1, process_max_tasks=2).running(app.mux):
        pids = [await within((await tasks["pid"].enqueue()).result()) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    async with app.server(processes=1, process_max_memory=200 << 20).running(app.mux):
        first = await within((await tasks["eat"].enqueue(1)).result())
        assert await within((await tasks["eat"].enqueue(300)).result()) == first
        assert await within((await tasks["pid"].enqueue()).result()) != first


async def test_a_running_process_is_killed_when_its_task_is_cancelled(app: App) -> None:
    spin = app.task("spin:long", run_in="process")(lane_tasks.spin)
    async with app.server(processes=1).running(app.mux) as server:
        handle = await spin.enqueue()
        await state_of(app, handle.info, TaskState.ACTIVE)
        await handle.cancel()
        info = await state_of(app, handle.info, TaskState.RETRY)
        assert info.last_error == "cancelled while it was running"
        assert server.info().workers == []


def test_a_function_that_cannot_be_imported_is_rejected_at_declaration() -> None:
    app = App("memory://")

    def local() -> None: ...

    with pytest.raises(ConfigError, match="top of a module"):
        app.task("local", run_in="process")(local)
    with pytest.raises(ConfigError, match="run_in"):
        app.task("wrong", run_in="fibre")(lane_tasks.pid)  # type: ignore[call-overload]


def test_timeouts_are_timeout_errors() -> None:
    assert issubclass(TaskTimeout, TimeoutError)
    assert not issubclass(TaskFailed, TimeoutError)


async def test_a_task_whose_deadline_has_passed_fails_without_calling_its_handler(app: App) -> None:
    called = []

    @app.task("work")
    async def work() -> None:
        called.append(1)

    deadline = math.floor(time.time() + 0.05) + 1.0  # a whole second: Redis keeps no others
    handle = await work.with_options(deadline=deadline).enqueue()
    await asyncio.sleep(deadline - time.time() + 0.01)  # until then no server runs
    async with app.server().running(app.mux):
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert "its deadline has passed" in info.last_error
    assert called == []
