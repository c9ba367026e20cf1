"""Records of attempts, as servers write them: on every broker, in every lane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asynqio import App, FixedRetry, RetryIn, Server, Task, TaskInfo, TaskState, current
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import MAX_LINES, AttemptOutcome, AttemptRecord, LogLine
from asynqio.core.attempts.shorten import MAX_TRACEBACK
from asynqio.errors import TaskNotFound
from asynqio.mux import Lane
from tests.runtime.lanes.lane_tasks import talk
from tests.runtime.waiting import gone, state_of, within

LATER = FixedRetry(3600)


async def runs(app: App, info: TaskInfo) -> list[AttemptRecord]:
    return await app.inspector.attempts(info)


async def test_a_failed_attempt_is_recorded_completely(app: App) -> None:
    @app.task("work", retry=LATER)
    async def work() -> None:
        current().log("reads the file")
        current().report_progress({"rows": 3})
        current().log("gives up", "error")
        raise ValueError("line 4 is no row")

    async with app.server().running(app.mux) as server:
        info = await state_of(app, (await work.enqueue()).info, TaskState.RETRY)
        worker = server.info().id
    [run] = await runs(app, info)
    assert (run.number, run.worker, run.outcome, run.then) == (
        1,
        worker,
        AttemptOutcome.FAILED,
        TaskState.RETRY,
    )
    assert run.error == "ValueError: line 4 is no row" == info.last_error
    assert run.traceback.startswith("Traceback (most recent call last)")
    assert run.traceback.endswith("ValueError: line 4 is no row\n")
    assert 'raise ValueError("line 4 is no row")' in run.traceback
    assert run.progress == b'{"rows":3}'
    assert [(line.text, line.level) for line in run.log] == [
        ("reads the file", "info"),
        ("gives up", "error"),
    ]
    assert 0 < run.started_at <= run.log[0].at <= run.log[1].at <= run.ended_at
    assert run.duration == run.ended_at - run.started_at


async def test_a_task_without_retention_leaves_no_record(app: App) -> None:
    @app.task("work")
    async def work() -> None:
        current().log("dropped with the task")

    async with app.server().running(app.mux):
        info = (await work.enqueue()).info
        await gone(app, info)
        assert await app.broker.attempts([info.ref]) == [[]]
        with pytest.raises(TaskNotFound):
            await runs(app, info)


async def test_a_kept_task_has_records_of_its_attempts(app: App) -> None:
    tries: list[int] = []

    @app.task("work", retention=60, retry=FixedRetry(0))
    async def work() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        current().log("done")
        return "result"

    async with app.server().running(app.mux):
        info = await state_of(app, (await work.enqueue()).info, TaskState.COMPLETED)
    first, second = await runs(app, info)
    assert (first.number, first.outcome, first.error) == (1, AttemptOutcome.FAILED, "ValueError: not yet")
    assert (second.number, second.outcome, second.then) == (
        2,
        AttemptOutcome.SUCCEEDED,
        TaskState.COMPLETED,
    )
    assert [line.text for line in second.log] == ["done"]


async def test_uncounted_attempts_are_recorded_as_deferred(app: App) -> None:
    @app.task("later")
    async def later() -> None:
        raise RetryIn(3600)

    async with app.server(unknown_delay=3600).running(app.mux):
        deferred = await state_of(app, (await later.enqueue()).info, TaskState.RETRY)
        unknown = await state_of(app, await app.enqueue(Task("nobody:knows")), TaskState.RETRY)
    [run] = await runs(app, deferred)
    assert (run.outcome, run.traceback) == (AttemptOutcome.DEFERRED, "")
    assert await runs(app, unknown) == [], "no handler ran, so this was no attempt"


async def test_a_stopping_server_records_that_it_returned_the_task(app: App) -> None:
    begun = asyncio.Event()

    @app.task("endless")
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    info = (await endless.enqueue()).info
    async with app.server(shutdown_timeout=0).running(app.mux):
        await within(begun.wait())
    [run] = await runs(app, info)
    assert (run.outcome, run.then, run.error) == (AttemptOutcome.ABORTED, TaskState.PENDING, "")


async def test_the_recovering_server_records_the_lost_attempt(app: App) -> None:
    @app.task("work", retry=LATER)
    async def work() -> None:
        raise ValueError("again")

    # Given a server that fetched the task, logged a line, and died
    info = (await work.enqueue()).info
    [lease] = await app.broker.dequeue(["default"], 1, 1.0, "host:1:gone")
    left = AttemptRecord(worker="host:1:gone", started_at=1.5e9 * 2, log=[LogLine(2.0, "last words")])
    await app.broker.write_output([Output(lease, live=left)])
    # When its lease lapses (a second: leases are real time)
    async with app.server(lease=1).running(app.mux):
        await state_of(app, info, TaskState.RETRY)
    lost, failed = await runs(app, info)
    assert (lost.number, lost.outcome, lost.worker) == (1, AttemptOutcome.LOST, "host:1:gone")
    assert lost.then is TaskState.PENDING
    assert lost.error.startswith("task lease expired")
    assert (lost.started_at, lost.log) == (left.started_at, left.log)
    assert (failed.number, failed.error) == (2, "ValueError: again")


async def test_a_running_attempt_is_visible_within_about_a_second(app: App) -> None:
    go_on = asyncio.Event()

    @app.task("work", retry=LATER)
    async def work() -> None:
        current().log("begins")
        await go_on.wait()

    async with app.server().running(app.mux) as server:
        info = (await work.enqueue()).info

        async def seen() -> AttemptRecord:
            with app.broker.watch([signals.changed(info.ref)]) as watch:
                while True:
                    for run in await runs(app, info):
                        if run.log:
                            return run
                    await watch.wait()

        run = await within(seen())
        assert (run.number, run.worker, run.outcome) == (1, server.info().id, AttemptOutcome.RUNNING)
        assert [line.text for line in run.log] == ["begins"]
        assert (run.ended_at, run.then) == (0, None)
        go_on.set()


@pytest.mark.parametrize("lane", ["thread", "process"])
async def test_threads_and_processes_write_and_log_too(app: App, lane: Lane) -> None:
    app.mux.handle("talk", talk, run_in=lane, retry=LATER)
    async with app.server(capture_logs=True, processes=1).running(app.mux):
        info = await state_of(app, await app.enqueue(Task("talk")), TaskState.RETRY)
    [run] = await runs(app, info)
    lines = [(line.text, line.level) for line in run.log]
    assert lines == [("said", "info"), ("shop.orders: logged 7", "warning")]
    assert run.progress == b"50"
    assert "in talk" in run.traceback


async def test_log_records_are_kept_only_with_capture_logs(app: App) -> None:
    app.mux.handle("talk", talk, retry=LATER)
    async with app.server().running(app.mux):
        info = await state_of(app, await app.enqueue(Task("talk")), TaskState.RETRY)
    [run] = await runs(app, info)
    assert [line.text for line in run.log] == ["said"]


async def test_captured_lines_belong_to_the_attempt_of_their_context() -> None:
    log = logging.getLogger("shop")
    both = asyncio.Barrier(2)
    async with App("memory://") as app, App("memory://") as other:

        def declare(app: App) -> Callable[..., Any]:
            @app.task("work", retry=LATER)
            async def work(name: str) -> None:
                await both.wait()
                log.warning("%s says so", name)
                await asyncio.gather(asyncio.to_thread(log.error, "%s in a thread", name))
                raise ValueError(name)

            return work.enqueue

        first, second = declare(app), declare(other)
        async with (
            app.server(capture_logs=True).running(app.mux),
            other.server(capture_logs=True).running(other.mux),
        ):
            log.warning("outside of any handler")
            infos = [(await first("one")).info, (await second("two")).info]
            for where, info, name in zip((app, other), infos, ("one", "two"), strict=True):
                found = await state_of(where, info, TaskState.RETRY)
                [run] = await runs(where, found)
                assert [line.text for line in run.log] == [
                    f"shop: {name} says so",
                    f"shop: {name} in a thread",
                ]
    assert not [handler for handler in logging.getLogger().handlers if type(handler).__name__ == "Capture"]


async def test_logs_and_tracebacks_are_bounded_and_count_what_was_dropped() -> None:
    async with App("memory://") as app:

        @app.task("chatty", retry=LATER)
        async def chatty() -> None:
            for number in range(MAX_LINES + 50):
                current().log(f"line {number}")
            raise ValueError("x" * 20_000)

        async with app.server().running(app.mux):
            info = await state_of(app, (await chatty.enqueue()).info, TaskState.RETRY)
        [run] = await runs(app, info)
    assert len(run.log) == MAX_LINES
    assert run.log_dropped == 50
    assert (run.log[0].text, run.log[-1].text) == ("line 50", f"line {MAX_LINES + 49}")
    assert MAX_TRACEBACK // 5 < len(run.traceback) <= MAX_TRACEBACK
    assert run.traceback.startswith("Traceback (most recent call last):")
    assert "characters left out" in run.traceback.splitlines()[-1]


def test_a_server_publishes_its_task_types() -> None:
    async def main() -> None:
        async with App("memory://") as app:
            app.mux.handle("email:", lambda task: None)
            app.mux.handle("report", lambda task: None)
            async with app.running() as server:
                assert isinstance(server, Server)
                info = server.info()
                assert info.types == ["email:", "report"]
                assert info.knows("email:send")
                assert not info.knows("sms:send")

    asyncio.run(main())
