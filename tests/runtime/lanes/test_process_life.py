"""The life of task processes: starts that fail, deaths, signals, and what their handlers started."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asynqio import App, FixedRetry, TaskState
from asynqio.blocking import run_blocking
from asynqio.runtime.lanes import processes
from tests.runtime.lanes import lane_tasks, process_tasks
from tests.runtime.waiting import state_of, within

# --- a process that cannot be started -------------------------------------------------------------


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 50, hard))
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_threads() -> Iterator[None]:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "process driver" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


@pytest.mark.parametrize(
    ("shortage", "text"),
    [
        (no_file_descriptors, "OSError: [Errno 24] Too many open files"),
        (no_threads, "RuntimeError: can't start new thread"),
    ],
)
async def test_a_process_that_cannot_be_started_costs_a_delay_and_nothing_else(
    shortage: type, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processes, "START_RETRY", 0.2)
    async with App("memory://") as app:
        pid = app.task("pid", run_in="process", max_retry=0, timeout=60, retention=60)(process_tasks.pid)
        async with app.server(processes=1, concurrency=2).running(app.mux) as server:
            with shortage(), caplog.at_level(logging.WARNING):
                handles = [await pid.enqueue() for _ in range(3)]
                for handle in handles:  # the slot of each is free for the next
                    info = await state_of(app, handle.info, TaskState.RETRY)
                    assert info.last_error == f"no task process could be started: {text}"
                    assert (info.retried, info.crashes) == (0, 0)
            for handle in handles:
                assert await within(handle.result()) != os.getpid()
            assert server.info().workers == []
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events.count("process_start_failed") == 1


# --- deaths ---------------------------------------------------------------------------------------


async def test_a_death_is_noticed_at_once_while_a_fork_lives(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    async with App("memory://") as app:
        die = app.task("die", run_in="process", timeout=600, retry=FixedRetry(3600))(
            process_tasks.fork_and_die
        )
        async with app.server(processes=1).running(app.mux):
            fork_ended = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
            info = await state_of(app, (await die.enqueue(str(fifo))).info, TaskState.RETRY)
            assert info.last_error == "the process that ran it died: it exited with status 7"
            await within(fork_ended)


@contextmanager
def _ignored() -> Iterator[None]:
    """The system takes the status of each process that ends."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextmanager
def _polled() -> Iterator[None]:
    """Another thread polls all processes of `multiprocessing`, as each start of one does."""
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            multiprocessing.active_children()

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(
    params=[
        (_ignored, "its exit status was taken by other code of the server's process"),
        (_polled, "it exited with status 9"),
    ],
    ids=["ignored", "polled"],
)
def cause(request: pytest.FixtureRequest) -> Iterator[str]:
    """What a death is said to be while other code takes the status of processes."""
    taking, cause = request.param
    with taking():
        yield cause


async def test_a_death_whose_status_other_code_takes_fails_the_task(cause: str) -> None:
    async with App("memory://") as app:
        die = app.task("die", run_in="process", timeout=600, retry=FixedRetry(3600))(lane_tasks.die)
        async with app.server(processes=1).running(app.mux):
            for _ in range(5):
                info = await state_of(app, (await die.enqueue()).info, TaskState.RETRY)
                assert info.last_error == f"the process that ran it died: {cause}"


@pytest.mark.parametrize("has_descriptors", [True, False], ids=["pidfd", "polling"])
async def test_an_idle_process_that_died_is_replaced_before_the_next_task(
    has_descriptors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "IDLE", 0.0)
    if not has_descriptors:
        monkeypatch.delattr(os, "pidfd_open")
    async with App("memory://") as app:
        pid = app.task("pid", run_in="process", max_retry=0, retention=60)(process_tasks.pid)
        async with app.server(processes=1).running(app.mux):
            first = await within((await pid.enqueue()).result())
            os.kill(first, signal.SIGKILL)
            await within(asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT))
            assert await within((await pid.enqueue()).result()) != first


async def test_large_and_small_results_arrive_whole() -> None:
    async with App("memory://") as app:
        text = app.task("text", run_in="process", max_retry=0, retention=60)(process_tasks.text)
        async with app.server(processes=1).running(app.mux):
            for size in (0, 1_000_000, 1, processes.READ_SIZE):
                assert await within((await text.enqueue(size)).result()) == "x" * size


async def test_a_process_whose_messages_cannot_be_read_has_failed() -> None:
    async with App("memory://") as app:
        write = app.task("write", run_in="process", timeout=600, retry=FixedRetry(3600))(
            process_tasks.write_to_the_pipe
        )
        async with app.server(processes=1).running(app.mux):
            info = await state_of(app, (await write.enqueue()).info, TaskState.RETRY)
    assert info.last_error == "the process that ran it died: killed by signal 9"


# --- signals, and what handlers start -------------------------------------------------------------


async def test_programs_and_forks_of_a_handler_can_be_terminated() -> None:
    async with App("memory://") as app:
        terminate = app.task("terminate", run_in="process", max_retry=0, retention=60)(
            process_tasks.terminate_programs
        )
        async with app.server(processes=1).running(app.mux):
            found = await within((await terminate.enqueue()).result())
    assert found == [-signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM]


async def test_a_timeout_ends_what_the_handler_started(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    async with App("memory://") as app:
        spin = app.task("spin", run_in="process", timeout=1, retry=FixedRetry(3600))(
            process_tasks.start_program_and_spin
        )
        async with app.server(processes=1).running(app.mux):
            program_ended = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
            await state_of(app, (await spin.enqueue(str(fifo))).info, TaskState.RETRY)
            await within(program_ended)


async def test_the_end_of_a_process_ends_what_its_handlers_started(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    async with App("memory://") as app:
        start = app.task("start", run_in="process", retention=60)(process_tasks.start_program_and_return)
        async with app.server(processes=1).running(app.mux):
            program_ended = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
            await within((await start.enqueue(str(fifo))).result())
            assert not program_ended.done(), "it lives as long as the process"
        await within(program_ended)


# --- several servers ------------------------------------------------------------------------------


async def test_servers_share_the_tasks_of_the_process_lane(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    opened = os.open(gate, os.O_RDWR)
    app = App("memory://", retention=60)
    app.task("wait", run_in="process")(process_tasks.wait_at_gate)
    async with app:
        handles = [await app.tasks["wait"].enqueue(str(gate)) for _ in range(4)]
        async with app.running(processes=1) as first, app.running(processes=1) as second:
            for handle in handles[:2]:
                await state_of(app, handle.info, TaskState.ACTIVE)
            assert [len(server.info().workers) for server in (first, second)] == [1, 1]
            [stats] = await app.inspector.queues()
            assert (stats.active, stats.pending) == (2, 2)
            await run_blocking(os.write, opened, b"open")
            await within(asyncio.gather(*(handle.result() for handle in handles)))
    os.close(opened)


async def test_a_server_with_other_handlers_keeps_all_its_slots() -> None:
    app = App("memory://")
    app.task("wait", run_in="process")(process_tasks.wait_at_gate)

    @app.task("other")
    async def other() -> None: ...

    async with app, app.running(processes=1, concurrency=7) as server:
        assert server.info().concurrency == 7
