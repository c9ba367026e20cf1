"""A server from start to shutdown, and its background services."""

from __future__ import annotations

import asyncio
import logging
import threading
from random import Random

import pytest

from asynqio import (
    App,
    BrokerUnavailable,
    ConfigError,
    FixedRetry,
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
