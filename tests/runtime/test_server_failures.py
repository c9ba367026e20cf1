"""Servers when the broker, other servers or handlers fail."""

from __future__ import annotations

import asyncio
import ctypes
import threading

import pytest

from asynqio import (
    App,
    BrokerUnavailable,
    Mux,
    Server,
    Task,
    TaskState,
    current,
)
from asynqio.server import ServerState
from asynqio.testing import Flaky
from tests.builders import aborted, entry
from tests.runtime.waiting import gone, state_of, within


async def test_settlements_survive_an_outage_of_the_broker(app: App) -> None:
    flaky = Flaky(app.broker)
    runs: list[int] = []

    async def handler(task: Task) -> None:
        runs.append(1)

    mux = Mux()
    mux.handle("work", handler)
    async with Server(flaky.broker, lease=1).running(mux) as server:
        flaky.fail(4, "settle")
        info = await app.enqueue(Task("work"))
        await gone(app, info)
        assert server.info().refused == 0
    assert runs == [1]
    assert flaky.calls["settle"] >= 5


async def test_a_settlement_with_a_lost_reply_is_not_applied_twice(app: App) -> None:
    flaky = Flaky(app.broker)

    async def handler(task: Task) -> None: ...

    mux = Mux()
    mux.handle("work", handler)
    async with Server(flaky.broker).running(mux):
        flaky.fail(1, "settle", after=True)
        info = await app.enqueue(Task("work"))
        await gone(app, info)
    [stats] = await app.broker.stats(["default"])
    assert stats.processed == 1


async def test_every_service_continues_after_errors(app: App, caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky(app.broker)

    @app.task("work", retention=60)
    async def work() -> int:
        return 1

    methods = ("dequeue", "forward", "expired", "sweep", "renew", "beat", "write_output")
    async with Server(flaky.broker, lease=1).running(app.mux):
        flaky.fail(5, *methods)
        handle = await work.with_options(process_in=0.1).enqueue()
        assert await within(handle.result()) == 1
    assert "retrying in" in caplog.text


async def test_a_server_on_a_broker_that_does_not_answer_fails_at_its_start(app: App) -> None:
    flaky = Flaky(app.broker)
    flaky.fail()
    server = Server(flaky.broker)
    with pytest.raises(BrokerUnavailable):
        await server.start(Mux())
    assert server.state is ServerState.CLOSED


async def test_tasks_of_a_dead_server_are_recovered_and_counted(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task("work", retention=60)
    async def work() -> int:
        return current().message.crashes

    handle = await work.enqueue()
    [lost] = await app.broker.dequeue(["default"], 1, 0.2, "a server that dies")
    assert lost.message.id == handle.id
    async with app.server(lease=1).running(app.mux):
        assert await within(handle.result()) == 1
    assert "was left by a dead server" in caplog.text
    info = await handle.refresh()
    assert (info.crashes, info.retried) == (0, 1)


async def test_a_task_whose_servers_keep_dying_is_archived(app: App) -> None:
    @app.task("poison")
    async def poison() -> None: ...

    handle = await poison.enqueue()
    async with app.server(lease=1, max_crashes=2).running(Mux()) as server:
        await server.stop()  # it only recovers
        for crash in (1, 2):
            [_] = await app.broker.dequeue(["default"], 1, 0.1, "a server that dies")
            info = await state_of(app, handle.info, TaskState.PENDING, TaskState.ARCHIVED)
            assert info.crashes == crash
    assert info.state is TaskState.ARCHIVED
    assert info.last_error.startswith("crash loop: 2 workers in a row died")


async def test_a_server_that_lost_a_lease_stops_the_handler_and_does_not_settle(app: App) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @app.task("work")
    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with app.server(lease=1.2).running(app.mux) as server:
        handle = await work.enqueue()
        await within(started.wait())
        await server.stop()
        # Another server recovered it meanwhile, and a third one fetched it.
        [held] = [attempt.lease for attempt in server._worker.runner.running.values()]  # type: ignore[union-attr]
        assert await app.broker.settle([aborted(held, app.broker.clock.now())]) == [True]
        [other] = await app.broker.dequeue(["default"], 1, 60, "another server")
        await within(cancelled.wait())
    assert (await handle.refresh()).state is TaskState.ACTIVE
    assert await app.broker.renew([other], 60) == [True]


async def test_suspects_run_one_at_a_time_and_alone(app: App) -> None:
    running: set[str] = set()
    company: list[int] = []
    ended = asyncio.Semaphore(0)

    @app.task("suspect")
    async def suspect() -> None:
        running.add(current().id)
        await asyncio.sleep(0.05)  # time for others to start beside it, if they could
        company.append(len(running))
        running.discard(current().id)
        ended.release()

    @app.task("innocent")
    async def innocent() -> None:
        running.add(current().id)
        company.append(len(running))
        running.discard(current().id)
        ended.release()

    await app.broker.enqueue(
        [entry(f"suspect {n}", type="suspect", payload=b"{}", crashes=2) for n in range(4)]
    )
    async with app.running(concurrency=10, max_crashes=3):
        await app.enqueue_many([innocent.task() for _ in range(20)])
        for _ in range(24):
            await within(ended.acquire())
    assert set(company) == {1}
    [stats] = await app.broker.stats(["default"])
    assert (stats.size, stats.processed, stats.failed) == (0, 24, 0)


async def test_a_late_end_of_a_lost_attempt_does_not_affect_the_next_one_on_the_same_server(
    app: App,
) -> None:
    starts = threading.Semaphore(0)
    gates = [threading.Event(), threading.Event()]
    runs: list[int] = []

    @app.task("work", retention=60)
    def work() -> int:
        number = len(runs)
        runs.append(number)
        starts.release()
        gates[number].wait(30)
        return number

    async with app.running(lease=1, concurrency=2) as server:
        handle = await work.enqueue()
        await within(asyncio.to_thread(starts.acquire))
        # The lease is recovered, and this server fetches the task again.
        [held] = [attempt.lease for attempt in server._worker.runner.running.values()]  # type: ignore[union-attr]
        assert await app.broker.settle([aborted(held, app.broker.clock.now())]) == [True]
        await within(asyncio.to_thread(starts.acquire))
        gates[0].set()
        await asyncio.sleep(2.5)  # longer than a lease that is not renewed, and its confirmation
        assert [worker.id for worker in server.info().workers] == [handle.id]
        assert server.info().refused == 1
        gates[1].set()
        assert await within(handle.result()) == 1
    assert runs == [0, 1]


async def test_a_task_that_froze_all_servers_is_not_taken_from_its_server(app: App) -> None:
    runs: list[str] = []

    @app.task("freeze", retention=60)
    def freeze() -> None:
        runs.append(current().id)
        ctypes.PyDLL(None).usleep(2_500_000)  # holds the GIL: no thread of this process renews or recovers

    async with app.running(lease=1), app.running(lease=1):
        handle = await freeze.enqueue()
        await within(handle.result())
    assert runs == [handle.id]
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 0)
