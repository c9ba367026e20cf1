"""A server from start to shutdown, and its background services."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from random import Random

import pytest

from asynqio import (
    App,
    BrokerUnavailable,
    ConfigError,
    FixedRetry,
    Mux,
    Server,
    Task,
    TaskState,
    current,
)
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.errors import ServerStateError
from asynqio.runtime.duties import sweeper
from asynqio.server import ServerState
from asynqio.testing import Flaky
from tests.builders import aborted, entry
from tests.runtime.waiting import gone, state_of, within


async def test_start_stop_shutdown_follow_the_state_table(app: App) -> None:
    server = app.server()
    assert server.state is ServerState.NEW
    await server.stop()  # no effect
    await server.shutdown()  # no effect
    with pytest.raises(ServerStateError, match="new"):
        server.info()
    await server.start(app.mux)
    with pytest.raises(ServerStateError, match="active"):
        await server.start(app.mux)
    await server.stop()
    assert server.info().status == "stopped"
    with pytest.raises(ServerStateError, match="stopped"):
        await server.start(app.mux)
    await server.stop()
    await server.shutdown()
    await server.shutdown()
    with pytest.raises(ServerStateError, match="closed"):
        await server.start(app.mux)


async def test_a_stopped_server_fetches_nothing_and_finishes_running_handlers(app: App) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> str:
        started.set()
        await go_on.wait()
        return "done"

    async with app.server().running(app.mux) as server:
        first = await work.enqueue()
        await within(started.wait())
        await server.stop()
        second = await work.enqueue()
        go_on.set()
        assert await within(first.result()) == "done"
        assert (await second.refresh()).state is TaskState.PENDING
    assert (await second.refresh()).state is TaskState.PENDING


async def test_shutdown_waits_for_handlers(app: App) -> None:
    started = asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> None:
        started.set()
        await asyncio.sleep(0.2)  # work that takes a moment

    server = app.server()
    await server.start(app.mux)
    handle = await work.enqueue()
    await within(started.wait())
    await server.shutdown()
    assert (await handle.refresh()).state is TaskState.COMPLETED


async def test_unfinished_tasks_are_returned_at_once_and_are_no_failures(app: App) -> None:
    started = threading.Semaphore(0)
    release = threading.Event()

    @app.task("endless")
    async def endless() -> None:
        started.release()
        await asyncio.Event().wait()

    @app.task("endless:thread")
    def endless_thread() -> None:
        started.release()
        release.wait(30)

    @app.task("rude")
    async def rude() -> None:
        started.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("an error while it is being stopped") from None

    server = app.server(shutdown_timeout=0.1)
    await server.start(app.mux)
    handles = [await function.enqueue() for function in (endless, endless_thread, rude)]
    for _ in handles:
        await within(asyncio.to_thread(started.acquire))
    await server.shutdown()
    for handle in handles:
        info = await handle.refresh()
        assert (info.state, info.retried, info.last_error) == (TaskState.PENDING, 0, "")
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)
    assert await app.broker.servers() == []
    release.set()


async def test_a_server_publishes_its_info_and_withdraws_it(app: App) -> None:
    started = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    async with app.server(
        concurrency=7, queues={"a": 3, "default": 1}, strict_priority=True, shutdown_timeout=0
    ).running(app.mux) as server:
        [info] = await app.broker.servers()
        assert (info.concurrency, info.queues, info.strict_priority) == (7, {"a": 3, "default": 1}, True)
        handle = await work.enqueue()
        await within(started.wait())
        assert [(worker.id, worker.type) for worker in server.info().workers] == [(handle.id, "work")]
    assert await app.broker.servers() == []


async def test_two_servers_share_the_work_and_run_each_task_once(app: App) -> None:
    runs: list[str] = []
    done = asyncio.Event()

    @app.task("work")
    async def work(number: int) -> None:
        runs.append(current().id)
        if len(runs) == 500:
            done.set()

    async with app.server(concurrency=5).running(app.mux), app.server(concurrency=5).running(app.mux):
        await app.enqueue_many([work.task(number) for number in range(500)])
        await within(done.wait())
    assert len(set(runs)) == 500
    [stats] = await app.broker.stats(["default"])
    assert (stats.size, stats.processed_total) == (0, 500)


async def test_strict_priority_empties_the_queue_with_the_highest_weight_first(app: App) -> None:
    order: list[str] = []
    done = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        order.append(current().queue)
        if len(order) == 40:
            done.set()

    for _ in range(20):
        await work.with_options(queue="low").enqueue()
        await work.with_options(queue="high").enqueue()
    options = {"high": 2, "low": 1}
    async with app.server(concurrency=1, queues=options, strict_priority=True).running(app.mux):
        await within(done.wait())
    assert order == ["high"] * 20 + ["low"] * 20


async def test_weights_share_the_work_and_no_queue_starves(app: App) -> None:
    order: list[str] = []
    done = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        order.append(current().queue)
        if len(order) == 200:
            done.set()

    await app.enqueue_many(
        [work.with_options(queue=queue).task() for queue in ("high", "low") for _ in range(200)]
    )
    server = app.server(concurrency=1, queues={"high": 3, "low": 1}, random=Random(1))
    async with server.running(app.mux):
        await within(done.wait())
    assert 30 <= order[:200].count("low") <= 70


async def test_a_delayed_task_starts_when_it_is_due_and_not_earlier(app: App) -> None:
    starts = {}

    @app.task("late", retention=60)
    async def late(name: str) -> None:
        starts[name] = app.broker.clock.now()

    async with app.server().running(app.mux):
        far = await late.with_options(process_in=3600).enqueue("far")
        now = app.broker.clock.now()
        handle = await late.with_options(process_in=0.3).enqueue("near")
        await within(handle.result())
        assert 0.3 <= starts["near"] - now < 1.3
        assert (await far.refresh()).state is TaskState.SCHEDULED


async def test_completed_tasks_are_swept_when_their_retention_ends(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "INTERVAL", 0.2)

    @app.task("work", retention=0.5)
    async def work() -> None: ...

    async with app.server().running(app.mux):
        handle = await work.enqueue()
        await state_of(app, handle.info, TaskState.COMPLETED)
        await gone(app, handle.info)


async def test_groups_are_aggregated(app: App) -> None:
    seen: list[list[int]] = []
    done = asyncio.Event()

    @app.aggregate
    def digest(group: str, tasks: object) -> Task:
        members = [task.load()["number"] for task in tasks]  # type: ignore[attr-defined]
        return Task.json("digest", {"group": group, "numbers": members})

    @app.task("digest")
    async def on_digest(group: str, numbers: list[int]) -> None:
        seen.append(numbers)
        done.set()

    async with app.server(group_max_size=3, group_grace=60).running(app.mux):
        for number in range(3):
            await app.enqueue(Task.json("event", {"number": number}), group="daily")
        await within(done.wait())
    assert seen == [[0, 1, 2]]


async def test_a_group_is_retried_after_its_aggregate_function_failed(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    tried = asyncio.Event()

    @app.aggregate
    async def broken(group: str, tasks: object) -> Task:
        tried.set()
        raise ValueError("cannot aggregate")

    with caplog.at_level(logging.ERROR):
        async with app.server(group_max_size=1).running(app.mux):
            await app.enqueue(Task.json("event", {}), group="daily")
            await within(tried.wait())
    assert "could not be aggregated" in caplog.text
    [stats] = await app.broker.stats(["default"])
    assert stats.aggregating == 1


async def test_the_health_check_is_called(app: App) -> None:
    flaky = Flaky(app.broker)
    reported: list[BrokerUnavailable | None] = []
    bad, good = asyncio.Event(), asyncio.Event()

    def check(error: BrokerUnavailable | None) -> None:
        reported.append(error)
        (good if error is None else bad).set()

    server = Server(flaky.broker, health_check=check, health_interval=0.1)
    async with server.running(app.mux):
        await within(good.wait())
        flaky.fail(float("inf"), "ping")
        await within(bad.wait())
    assert isinstance(reported[-1], BrokerUnavailable)


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


async def test_all_invalid_options_are_reported_at_once(app: App) -> None:
    with pytest.raises(ConfigError) as caught:
        app.server(concurrency=0, lease=-1, queues={"": 0})
    assert len(caught.value.problems) == 4
    with pytest.raises(ConfigError, match="did you mean 'concurrency'"):
        app.server(concurency=1)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="needs a Mux"):
        await app.server().start("mux")  # type: ignore[arg-type]


async def test_idle_services_cost_less_than_one_command_a_second(app: App) -> None:
    flaky = Flaky(app.broker)
    async with Server(flaky.broker).running(app.mux):
        await asyncio.sleep(0.5)  # whatever the start needs
        before = dict(flaky.calls)
        await asyncio.sleep(4)
        after = dict(flaky.calls)
    calls = {name: after[name] - before.get(name, 0) for name in after}
    calls.pop("beat", None)
    assert sum(calls.values()) <= 4, calls


async def test_tasks_in_every_state_survive_a_server_restart(app: App) -> None:
    @app.task("fails", retry=FixedRetry(3600))
    async def fails() -> None:
        raise ValueError("no")

    async with app.server().running(app.mux):
        retried = await fails.enqueue()
        await state_of(app, retried.info, TaskState.RETRY)
    for state, count in ((TaskState.RETRY, 1), (TaskState.ACTIVE, 0), (TaskState.PENDING, 0)):
        assert len(await app.broker.tasks(Where("default", state), Page())) == count


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
