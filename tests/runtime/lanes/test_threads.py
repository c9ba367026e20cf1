"""The thread lane: a slot is free when its thread is free, and what was returned never runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from asynqio import App, TaskState
from asynqio.runtime.lanes.threads import Threads
from tests.runtime.waiting import state_of, within


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """Lanes are the same on every broker."""
    async with App("memory://") as app:
        yield app


async def test_an_attempt_that_lost_its_lease_keeps_its_slot_until_its_thread_returns(app: App) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    @app.task("block")
    def block() -> None:
        begun.release()
        release.wait(30)

    @app.task("quick", retention=60)
    def quick() -> int:
        return 1

    async with app.server(concurrency=2).running(app.mux) as server:
        for _ in range(2):
            await block.enqueue()
            await asyncio.to_thread(begun.acquire)
        assert server._worker is not None
        for attempt in list(server._worker.runner.running.values()):
            attempt.lose()
            attempt.lose()  # each renewal that fails
        handle = await quick.enqueue()
        await asyncio.sleep(0.2)  # nothing may happen
        assert (await handle.refresh()).state is TaskState.PENDING
        assert len(server._worker.runner.running) == 2
        release.set()
        assert await within(handle.result()) == 1


async def occupy(threads: Threads, release: threading.Event) -> asyncio.Task[None]:
    """Run a call that has started, and ends when it is released."""
    started = threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    running = asyncio.create_task(threads.run(block))
    await asyncio.to_thread(started.wait)
    return running


async def test_a_call_that_did_not_start_never_starts_after_its_wait_was_cancelled() -> None:
    threads, release = Threads(1), threading.Event()
    ran: list[int] = []
    first = await occupy(threads, release)
    second = asyncio.create_task(threads.run(ran.append, 2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    release.set()
    await first
    await threads.run(ran.append, 3)
    assert ran == [3]
    threads.close()


async def test_closed_threads_start_no_call_that_waits() -> None:
    threads, release = Threads(1), threading.Event()
    ran: list[int] = []
    first = await occupy(threads, release)
    second = asyncio.create_task(threads.run(ran.append, 2))
    await asyncio.sleep(0)
    [thread] = [one for one in threading.enumerate() if one.name == "asynqio-1"]
    threads.close()
    release.set()
    await first
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert ran == []
    second.cancel()
    await asyncio.wait([second])


async def test_a_shutdown_beside_lost_threads_ends_and_runs_nothing_that_it_returned(app: App) -> None:
    release, begun, ran = threading.Event(), threading.Event(), []

    @app.task("block")
    def block() -> None:
        begun.set()
        release.wait(30)

    @app.task("quick")
    def quick() -> None:
        ran.append(1)

    async with app.server(concurrency=1, shutdown_timeout=0.1).running(app.mux) as server:
        await block.enqueue()
        await asyncio.to_thread(begun.wait)
        assert server._worker is not None
        threads = server._worker._threads
        for attempt in list(server._worker.runner.running.values()):
            attempt.lose()
        handle = await quick.enqueue()
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("asynqio-"):
            await asyncio.to_thread(thread.join, 5)
    assert threads._closed
    assert ran == []
    await state_of(app, handle.info, TaskState.PENDING)
