"""What is put down of attempts, as servers run them: on every broker, in every lane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asynqio import App, FixedRetry, RetryIn, Server, Task, TaskInfo, TaskState, current
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import MAX_LINES, MAX_TRACEBACK, AttemptOutcome, AttemptRecord, LogLine
from asynqio.errors import TaskNotFound
from asynqio.mux import Lane
from tests.runtime.lane_tasks import talk
from tests.runtime.waiting import gone, state_of, within

LATER = FixedRetry(3600)


async def runs(app: App, info: TaskInfo) -> list[AttemptRecord]:
    return await app.inspector.attempts(info)


async def test_a_failed_attempt_is_put_down_with_all_there_is_to_know(app: App) -> None:
    @app.task("work", retry=LATER)
    async def work() -> None:
        current().log("reads the file")
        current().report_progress({"rows": 3})
        current().log("gives up", "error")
        raise ValueError("line 4 is no row")

    async with app.server().running(app.mux) as server:
        info = await state_of(app, (await work.enqueue()).info, TaskState.RETRY)
        worker = server.card().id
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


async def test_a_task_that_is_done_and_gone_leaves_no_record(app: App) -> None:
    @app.task("work")
    async def work() -> None:
        current().log("for nobody")

    async with app.server().running(app.mux):
        info = (await work.enqueue()).info
        await gone(app, info)
        assert await app.broker.attempts([info.ref]) == [[]]
        with pytest.raises(TaskNotFound):
            await runs(app, info)


async def test_a_task_that_stays_shows_how_it_was_done(app: App) -> None:
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


async def test_what_is_not_counted_is_told_apart(app: App) -> None:
    @app.task("later")
    async def later() -> None:
        raise RetryIn(3600)

    async with app.server(unknown_delay=3600).running(app.mux):
        put_off = await state_of(app, (await later.enqueue()).info, TaskState.RETRY)
        unknown = await state_of(app, await app.enqueue(Task("nobody:knows")), TaskState.RETRY)
    [run] = await runs(app, put_off)
    assert (run.outcome, run.traceback) == (AttemptOutcome.DEFERRED, "")
    assert await runs(app, unknown) == [], "no handler ran, so this was no attempt"


async def test_a_server_that_stops_puts_down_that_it_handed_the_task_back(app: App) -> None:
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


async def test_a_server_that_died_is_put_down_by_who_recovers(app: App) -> None:
    @app.task("work", retry=LATER)
    async def work() -> None:
        raise ValueError("again")

    # Given a server that took the task, said something, and was never heard of again
    info = (await work.enqueue()).info
    [held] = await app.broker.dequeue(["default"], 1, 1.0, "host:1:gone")
    said = AttemptRecord(worker="host:1:gone", started_at=1.5e9 * 2, log=[LogLine(2.0, "last words")])
    await app.broker.write_output([Output(held, live=said)])
    # When its lease lapses (a second: leases are real time)
    async with app.server(lease=1).running(app.mux):
        await state_of(app, info, TaskState.RETRY)
    lost, failed = await runs(app, info)
    assert (lost.number, lost.outcome, lost.worker) == (1, AttemptOutcome.LOST, "host:1:gone")
    assert lost.then is TaskState.PENDING
    assert lost.error.startswith("task lease expired")
    assert (lost.started_at, lost.log) == (said.started_at, said.log)
    assert (failed.number, failed.error) == (2, "ValueError: again")


async def test_a_running_attempt_is_seen_within_a_second_or_so(app: App) -> None:
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
        assert (run.number, run.worker, run.outcome) == (1, server.card().id, AttemptOutcome.RUNNING)
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


async def test_what_is_logged_is_kept_only_if_the_app_asks_for_it(app: App) -> None:
    app.mux.handle("talk", talk, retry=LATER)
    async with app.server().running(app.mux):
        info = await state_of(app, await app.enqueue(Task("talk")), TaskState.RETRY)
    [run] = await runs(app, info)
    assert [line.text for line in run.log] == ["said"]


async def test_captured_lines_go_to_the_attempt_in_whose_context_they_are_logged() -> None:
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


async def test_logs_and_tracebacks_are_bounded_and_say_so() -> None:
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
    assert len(run.traceback) == MAX_TRACEBACK
    assert "characters left out" in run.traceback.splitlines()[0]


def test_a_server_says_which_types_it_has_handlers_for() -> None:
    async def main() -> None:
        async with App("memory://") as app:
            app.mux.handle("email:", lambda task: None)
            app.mux.handle("report", lambda task: None)
            async with app.running() as server:
                assert isinstance(server, Server)
                card = server.card()
                assert card.types == ["email:", "report"]
                assert card.knows("email:send")
                assert not card.knows("sms:send")

    asyncio.run(main())
