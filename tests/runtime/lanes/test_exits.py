"""What user code raises to leave the process costs its own task only; a real signal ends the server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asynqio import App, HandlerExit, Server, Task, TaskState
from asynqio.runtime.attempts.exits import is_from_signal
from tests.runtime.lanes import callables
from tests.runtime.waiting import state_of, within


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """Lanes are the same on every broker."""
    async with App("memory://") as app:
        yield app


@contextlib.asynccontextmanager
async def beside_a_neighbour(app: App, **options: Any) -> AsyncIterator[Server]:
    """A server with a task that runs meanwhile and must end well, without a counted crash."""
    go_on = asyncio.Event()

    @app.task("neighbour", retention=60)
    async def neighbour() -> str:
        await go_on.wait()
        return "done"

    async with app.server(concurrency=4, **options).running(app.mux) as server:
        handle = await neighbour.enqueue()
        await state_of(app, handle.info, TaskState.ACTIVE)
        yield server
        go_on.set()
        assert await within(handle.result()) == "done"
        assert server.info().status == "active"


@pytest.mark.parametrize("kind", callables.EXITS)
@pytest.mark.parametrize("way", callables.WAYS)
async def test_nothing_that_a_handler_raises_ends_the_worker(app: App, way: str, kind: str) -> None:
    seen: list[BaseException] = []
    app.on_error(lambda task, error, final: seen.append(error))
    task = app.task("leave", max_retry=0)(callables.WAYS[way])
    async with beside_a_neighbour(app):
        handle = await task.enqueue(kind)
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert info.crashes == 0
    if way in ("plain", "direct"):
        assert kind in info.last_error
        assert isinstance(seen[0], HandlerExit)
        assert type(seen[0].__cause__).__name__ == kind


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "Odd"])
@pytest.mark.parametrize("name", ["leave", "leave_async", "leave_in_gather"])
async def test_nothing_that_a_handler_in_a_process_raises_ends_the_worker(
    app: App, name: str, kind: str
) -> None:
    task = app.task("leave", max_retry=0, run_in="process")(getattr(callables, name))
    async with beside_a_neighbour(app, processes=1):
        handle = await task.enqueue(kind)
        info = await state_of(app, handle.info, TaskState.ARCHIVED)
        assert kind in info.last_error
        assert info.crashes == 0


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
async def test_a_task_that_nobody_awaits_does_not_end_the_worker(app: App, kind: str) -> None:
    tasks = []

    @app.task("leave", retention=60)
    async def leave() -> None:
        tasks.append(asyncio.create_task(callables.leave_async(kind)))

    async with beside_a_neighbour(app):
        await within((await leave.enqueue()).result())
        await asyncio.wait(tasks)
        assert isinstance(tasks[0].exception(), HandlerExit)


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "Odd"])
@pytest.mark.parametrize("where", ["middleware", "hook", "thread hook", "retry", "is_failure"])
async def test_nothing_that_other_user_code_raises_ends_the_worker(where: str, kind: str) -> None:
    def leave(*_: object) -> Any:
        callables.leave(kind)

    is_failure = leave if where == "is_failure" else None
    async with App("memory://", is_failure=is_failure) as app:
        if where == "middleware":

            @app.middleware
            async def middleware(task: Task, call_next: Any) -> None:
                await (callables.leave_in_gather(kind) if task.type == "fails" else call_next(task))

        elif where == "hook":

            @app.on_error
            async def hook(task: Task, error: BaseException, final: bool) -> None:
                await callables.leave_in_gather(kind)

        elif where == "thread hook":
            app.on_error(leave)
        retry = leave if where == "retry" else None

        @app.task("fails", retry=retry)
        async def fails() -> None:
            raise ValueError("no")

        async with app.server().running(app.mux) as server:
            handle = await fails.enqueue()
            info = await state_of(app, handle.info, TaskState.RETRY)
            assert server.info().status == "active"
        assert info.crashes == 0
        if where != "middleware":
            assert info.last_error == "ValueError: no"


async def test_the_guard_keeps_the_loops_own_task_factory(app: App) -> None:
    loop, made = asyncio.get_running_loop(), []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        task = app.task("work", max_retry=0)(callables.leave_in_group)
        async with app.server().running(app.mux), app.server().running(app.mux):
            handle = await task.enqueue("SystemExit")
            await state_of(app, handle.info, TaskState.ARCHIVED)
            assert made
        assert loop.get_task_factory() is factory
    finally:
        loop.set_task_factory(None)


async def test_a_guarded_task_that_is_cancelled_before_its_start_warns_of_nothing(
    app: App, recwarn: pytest.WarningsRecorder
) -> None:
    @app.task("work", retention=60)
    async def work() -> str:
        task = asyncio.create_task(asyncio.sleep(0))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return repr(task)

    async with app.server().running(app.mux):
        assert "cancelled" in await within((await work.enqueue()).result())
    assert not [warning for warning in recwarn if "never awaited" in str(warning.message)]


def test_an_interrupt_by_a_signal_is_told_apart_from_one_that_code_raises() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as by_signal:
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as by_code:
            callables.leave("KeyboardInterrupt")
        assert is_from_signal(by_signal.value)
        assert not is_from_signal(by_code.value)
    finally:
        signal.signal(signal.SIGINT, before)


SPINNING = """
import asyncio, signal, sys
from asynqio import App
app = App("memory://")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))

@app.task("spin")
async def spin():
    print("spinning", flush=True)
    while True:
        pass

async def main():
    async with app.running(shutdown_timeout=0.1):
        await spin.enqueue()
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGINT, -signal.SIGINT)])
def test_a_real_signal_ends_a_worker_in_the_middle_of_a_handler(number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SPINNING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"spinning\n"
            for _ in range(100):
                worker.send_signal(
                    number
                )  # the first SIGINT asks the main task to end, the second interrupts
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.wait(0.2)
                    break
            assert worker.returncode == status
        finally:
            worker.kill()
