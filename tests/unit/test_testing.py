"""The tools that users test with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asynqio import App, BrokerUnavailable, ConfigError, FixedRetry, RetryIn, Task, TaskState, current
from asynqio.testing import AppTesting, FakeClock, Flaky, isolated
from tests.runtime.lanes import lane_tasks


@pytest.fixture
def app() -> App:
    return App("memory://")


async def test_what_was_enqueued_is_listed_and_run(app: App) -> None:
    sent = []

    @app.task("email:send", retention=60)
    async def send(to: str, subject: str = "Welcome") -> None:
        sent.append((to, subject))

    await send.enqueue("ann")
    await app.enqueue(Task("other"), queue="q2")
    [task] = app.testing.enqueued("email:send")
    assert task.load() == {"to": "ann"}
    assert [info.type for info in app.testing.enqueued()] == ["email:send", "other"]
    assert [info.type for info in app.testing.enqueued(queue="q2")] == ["other"]
    with pytest.raises(LookupError):
        current()
    with pytest.raises(Exception, match="handler not found"):
        await app.testing.run_all()
    assert sent == [("ann", "Welcome")]
    assert [info.type for info in app.testing.tasks(TaskState.COMPLETED)] == ["email:send"]


async def test_tasks_of_tasks_are_run_too_and_every_lane_runs_here(app: App) -> None:
    results = []
    double = lane_tasks.declare(app)["double"]

    @app.task("first")
    def first() -> None:
        results.append(current().type)

    @app.task("second")
    async def second() -> None:
        await first.enqueue()
        await double.enqueue(4)

    await second.enqueue()
    assert await app.testing.run_all() == 3
    assert results == ["first"]
    [info] = app.testing.tasks(TaskState.COMPLETED)
    assert info.result == b"8"


async def test_failures_are_raised_or_not(app: App) -> None:
    @app.task("fails", retry=FixedRetry(60))
    async def fails() -> None:
        raise ValueError("no")

    @app.task("waits")
    async def waits() -> None:
        raise RetryIn(5)

    await waits.enqueue()
    await fails.enqueue()
    with pytest.raises(ValueError, match="no"):
        await app.testing.run_all()
    await fails.enqueue()
    await fails.enqueue()
    with pytest.raises(BaseExceptionGroup, match="several tasks failed"):
        await app.testing.run_all()
    await fails.enqueue()
    assert await app.testing.run_all(raise_failures=False) == 1


async def test_time_is_moved_by_hand() -> None:
    app = App("redis-of-production://unused")
    runs = []

    @app.task("later", retry=FixedRetry(60), max_retry=1)
    async def later() -> None:
        runs.append(current().retried)
        raise ValueError("again")

    with isolated(app) as testing:
        await later.with_options(process_in=3600).enqueue()
        assert await testing.run_all() == 0
        testing.clock.advance(3600)
        with pytest.raises(ValueError, match="again"):
            await testing.run_all()
        testing.clock.advance(59)
        assert await testing.run_all() == 0
        testing.clock.advance(1)
        with pytest.raises(ValueError, match="again"):
            await testing.run_all()
        [info] = testing.tasks()
        assert info.state is TaskState.ARCHIVED
    assert runs == [0, 1]
    with pytest.raises(ConfigError, match="scheme"):
        await app.open()


async def test_groups_and_lifespan_work_in_tests_too(app: App) -> None:
    seen: list[object] = []

    @app.lifespan
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[dict[str, int]]:
        yield {"answer": 42}

    @app.aggregate
    def digest(group: str, tasks: Sequence[Task]) -> Task:
        return Task.json("digest", {"count": len(tasks)})

    @app.task("digest")
    async def on_digest(count: int) -> None:
        seen.append((count, current().state["answer"]))

    with isolated(app) as testing:
        for _ in range(3):
            await app.enqueue(Task("event"), group="g")
        assert await testing.run_all() == 0
        testing.clock.advance(60)
        assert await testing.run_all() == 1
    assert seen == [(3, 42)]


async def test_the_error_hook_is_called_in_tests_too(app: App) -> None:
    heard = []

    @app.on_error
    def on_error(task: Task, error: BaseException, final: bool) -> None:
        heard.append(str(error))

    @app.task("fails")
    def fails() -> None:
        raise ValueError("no")

    await fails.enqueue()
    await app.testing.run_all(raise_failures=False)
    assert heard == ["no"]


def test_testing_needs_a_memory_broker_and_a_clock_to_move(app: App, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="isolated"):
        _ = App(f"sqlite:///{tmp_path}/tasks.db").testing
    with pytest.raises(ConfigError, match="system clock"):
        _ = app.testing.clock


async def test_the_fixtures_come_with_the_package(
    asynqio_isolated: Callable[[App], AppTesting], asynqio_clock: FakeClock
) -> None:
    app = App("sqlite:///never-opened.db")
    testing = asynqio_isolated(app)
    assert testing.clock is asynqio_clock
    await app.enqueue(Task("work"))
    assert len(testing.enqueued("work")) == 1


async def test_an_app_is_itself_again_after_the_isolation(app: App) -> None:
    await app.enqueue(Task("outside"))
    with isolated(app) as testing:
        await app.enqueue(Task("inside"))
        assert [info.type for info in testing.enqueued()] == ["inside"]
    assert [info.type for info in app.testing.enqueued()] == ["outside"]


async def test_a_flaky_broker_fails_as_told() -> None:
    real = App("memory://").broker
    flaky = Flaky(real)
    app = App(flaky.broker)
    flaky.fail(2, "enqueue")
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await app.enqueue(Task("work"))
    await app.enqueue(Task("work"))
    flaky.fail(1, "enqueue", after=True, error=BrokerUnavailable("the reply was lost"))
    with pytest.raises(BrokerUnavailable, match="lost"):
        await app.enqueue(Task("work"))
    [stats] = await real.stats(["default"])
    assert (stats.size, flaky.calls["enqueue"]) == (2, 4)
    flaky.fail()
    with pytest.raises(BrokerUnavailable):
        await app.broker.ping()
    with pytest.raises(BrokerUnavailable):
        await app.broker.clone().ping()
    flaky.recover()
    await app.broker.ping()
    await asyncio.sleep(0)


async def test_process_tasks_get_their_initializer_and_middleware_in_tests_too() -> None:
    app = App("memory://")
    lane_tasks.trail.clear()
    app.process_initializer(lane_tasks.initialize_async)
    app.middleware(in_handler_thread=True)(lane_tasks.leave_trail)
    double = app.task("double", run_in="process", retention=60)(lane_tasks.double_async)
    with isolated(app) as testing:
        for number in (1, 2):
            await double.enqueue(number)
        assert await testing.run_all() == 2
    steps = [step for step in lane_tasks.trail if not step.startswith(("before", "after"))]
    lane_tasks.trail.clear()
    assert steps == ["initialized by a coroutine", "result 2", "result 4"]
