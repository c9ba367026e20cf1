"""Metrics of a worker server that runs real tasks, scraped over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from asynqio import App, ConfigError, FixedRetry, RetryIn, RevokeTask, Server, SkipRetry, Task, TaskState
from asynqio.core.attempts.ending import Ending
from asynqio.core.task.message import TaskMessage
from asynqio.metrics import ServerMetrics
from asynqio.metrics.labels import OTHER, TYPE_LIMIT
from asynqio.runtime.attempts.attempt import active_attempt
from asynqio.runtime.events import AttemptEnded, Event, Events, LeaseLost, ServerStats, TaskRecovered
from asynqio.testing import Flaky
from tests.brokers.redis.support.ports import free_port
from tests.builders import aborted
from tests.conformance.conftest import broker_url
from tests.metrics.scraping import Samples, samples, samples_of, scrape_open_metrics, scraped
from tests.runtime.waiting import gone, state_of, within

ENDED = "asynqio_attempts_ended_total"


@pytest.fixture(params=["memory", "sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(request.param, tmp_path)


async def test_every_attempt_is_counted_by_outcome(url: str) -> None:
    port = free_port()
    async with App(url, retention=60) as app:

        @app.task("ok")
        async def ok() -> None: ...

        @app.task("fails", retry=FixedRetry(600))
        async def fails() -> None:
            raise RuntimeError("no")

        @app.task("skips")
        async def skips() -> None:
            raise SkipRetry("hopeless")

        @app.task("revokes")
        async def revokes() -> None:
            raise RevokeTask("not wanted any more")

        @app.task("later")
        async def later() -> None:
            raise RetryIn(600)

        # Given a server that has run its tasks
        async with app.running(metrics_port=port, concurrency=5, queues={"default": 1, "mail": 1}):
            for _ in range(3):
                await (await ok.enqueue()).result(timeout=20)
            await (await ok.with_options(queue="mail").enqueue()).result(timeout=20)
            await state_of(app, (await fails.enqueue()).info, TaskState.RETRY)
            await state_of(app, (await skips.enqueue()).info, TaskState.ARCHIVED)
            await gone(app, (await revokes.enqueue()).info)
            await state_of(app, (await later.enqueue()).info, TaskState.RETRY)
            await state_of(app, await app.enqueue(Task("unknown:type")), TaskState.RETRY)
            # When it is scraped
            seen = await counted(f"http://127.0.0.1:{port}/metrics", 9)
            strictly = await asyncio.to_thread(scrape_open_metrics, f"http://127.0.0.1:{port}/metrics")
    # Then each attempt is counted once, by outcome
    assert seen.of(ENDED) == {
        ("succeeded", "default", "ok"): 3,
        ("succeeded", "mail", "ok"): 1,
        ("retried", "default", "fails"): 1,
        ("archived", "default", "skips"): 1,
        ("revoked", "default", "revokes"): 1,
        ("deferred", "default", "later"): 1,
        ("deferred", "default", "unknown:type"): 1,
    }
    # And its run time and wait time
    assert seen.get("asynqio_attempt_run_seconds_count", type="ok") == 4
    assert seen.get("asynqio_task_wait_seconds_count", type="ok") == 4
    assert (seen.get("asynqio_task_wait_seconds_sum", type="ok") or 0) > 0
    # And the state of the server
    assert (seen.get("asynqio_slots"), seen.get("asynqio_slots_busy")) == (5, 0)
    assert (seen.get("asynqio_heartbeat_age_seconds") or 0) < 20
    assert seen.get("process_cpu_seconds_total") is not None
    # And the strict parser returns the same
    assert strictly.of(ENDED) == seen.of(ENDED)


async def counted(url: str, attempts: int) -> Samples:
    """A scrape with all attempts: metrics are updated a moment after the store."""
    while True:
        seen = await within(scraped(url))
        if sum(seen.of(ENDED).values()) >= attempts:
            return seen
        await asyncio.sleep(0.01)  # the update of metrics has no signal


async def test_wait_time_and_run_time_are_measured(url: str) -> None:
    async with App(url, retention=60) as app:

        @app.task("nap")
        async def nap() -> None:
            await asyncio.sleep(0.3)  # the measured time

        server = app.server(concurrency=1)
        metrics = ServerMetrics(server)
        ended = collect(server.events, AttemptEnded, 2)
        async with server.running(app.mux):
            first, second = await nap.enqueue(), await nap.enqueue()
            await first.result(timeout=20)
            await second.result(timeout=20)
            await within(ended())
        seen = await samples_of(metrics.registry)
    assert 0.6 <= (seen.get("asynqio_attempt_run_seconds_sum", type="nap") or 0) < 5
    # The second one waited for the first
    assert 0.3 <= (seen.get("asynqio_task_wait_seconds_sum", type="nap") or 0) < 5
    assert seen.get("asynqio_task_wait_seconds_bucket", type="nap", le="0.1") == 1


def collect(events: Events, kind: type[Event], count: int = 1) -> Callable[[], asyncio.Future[list[Event]]]:
    """Listen from now on; the returned function waits for `count` events of a kind."""
    loop = asyncio.get_running_loop()
    found: list[Event] = []
    future: asyncio.Future[list[Event]] = loop.create_future()

    def listener(event: Event) -> None:
        if isinstance(event, kind):
            found.append(event)
            if len(found) == count:
                loop.call_soon_threadsafe(future.set_result, found)

    events.listen(listener)
    return lambda: future


async def test_a_late_result_is_counted_as_refused(url: str) -> None:
    runs: list[int] = []
    async with App(url, retention=60) as app:

        @app.task("work")
        async def work() -> int:
            runs.append(1)
            if len(runs) == 1:  # another worker gets the task meanwhile
                lease = active_attempt.get().lease
                assert await app.broker.settle([aborted(lease, app.broker.clock.now())]) == [True]
            return len(runs)

        server = app.server(concurrency=1)
        metrics = ServerMetrics(server)
        ended = collect(server.events, AttemptEnded, 2)
        async with server.running(app.mux):
            assert await (await work.enqueue()).result(timeout=20) == 2
            await within(ended())
        seen = await samples_of(metrics.registry)
    assert seen.of(ENDED) == {("refused", "default", "work"): 1, ("succeeded", "default", "work"): 1}
    assert seen.get("asynqio_settlements_refused_total") == 1


async def test_a_task_that_is_handed_back_at_shutdown_is_counted(url: str) -> None:
    async with App(url) as app:
        started = asyncio.Event()

        @app.task("long")
        async def long() -> None:
            started.set()
            await asyncio.Event().wait()

        server = app.server(shutdown_timeout=0)
        metrics = ServerMetrics(server)
        async with server.running(app.mux):
            await long.enqueue()
            await within(started.wait())
            busy = await samples_of(metrics.registry)
        seen = await samples_of(metrics.registry)
    assert busy.get("asynqio_slots_busy") == 1
    assert seen.of(ENDED) == {("aborted", "default", "long"): 1}
    assert seen.get("asynqio_tasks_handed_back_total", queue="default") == 1


async def test_an_unrecorded_result_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Refused settlements are retried until the server has stopped.
    monkeypatch.setattr("asynqio.runtime.worker.LAST_FLUSH_TIMEOUT", 0.1)
    async with App("memory://") as app:
        flaky = Flaky(app.broker)
        begun = asyncio.Event()

        @app.task("work")
        async def work() -> None:
            flaky.fail(float("inf"), "settle", error=RuntimeError("a bug of the broker"))
            begun.set()

        server = Server(flaky.broker)
        metrics = ServerMetrics(server)
        ended = collect(server.events, AttemptEnded)
        async with server.running(app.mux):
            await work.enqueue()
            await within(begun.wait())
        [event] = await within(ended())
        assert isinstance(event, AttemptEnded)
        assert event.ending is Ending.UNRECORDED
        assert (await samples_of(metrics.registry)).of(ENDED) == {("unrecorded", "default", "work"): 1}


async def test_a_stuck_handler_is_counted(url: str) -> None:
    release = threading.Event()
    async with App(url, retention=60) as app:

        @app.task("stuck", timeout=0.2)
        def ignores_cancellation() -> None:
            release.wait()

        server = app.server(concurrency=1, lease=1, stuck_after=0.2)
        metrics = ServerMetrics(server)
        stuck = collect(server.events, _kind("HandlerStuck"))
        try:
            async with server.running(app.mux):
                await ignores_cancellation.enqueue()
                await within(stuck())
                seen = await samples_of(metrics.registry)
                release.set()
        finally:
            release.set()
    assert seen.get("asynqio_handlers_stuck") == 1
    assert (seen.get("asynqio_handler_stuck_reports_total") or 0) >= 1


def _kind(name: str) -> type[Event]:
    from asynqio.runtime import events

    kind: type[Event] = getattr(events, name)
    return kind


async def test_a_blocked_event_loop_can_be_scraped_and_is_reported(no_blocking: BlockBuster) -> None:
    no_blocking.deactivate()
    port = free_port()
    during: list[Samples] = []

    async with App("memory://", retention=60) as app:

        @app.task("blocks")
        async def blocks() -> None:
            until = time.monotonic() + 20
            while time.monotonic() < until:  # a scrape must not need this event loop
                seen = _scrape(port)
                if seen.get("asynqio_event_loop_blocked") == 1:
                    during.append(seen)
                    return

        server = app.server(lease=1, blocked_after=0.2, metrics_port=port)
        freed = collect(server.events, _kind("LoopFreed"))
        async with server.running(app.mux):
            await (await blocks.enqueue()).result(timeout=30)
            await within(freed())
            after = await scraped(f"http://127.0.0.1:{port}/metrics")
    assert during, "it was never seen to be blocked"
    assert during[0].get("asynqio_event_loop_blocks_total") == 1
    assert after.get("asynqio_event_loop_blocked") == 0
    assert (after.get("asynqio_event_loop_blocked_seconds_total") or 0) >= 0.2


def _scrape(port: int) -> Samples:
    from tests.metrics.scraping import scrape

    return scrape(f"http://127.0.0.1:{port}/metrics")


# --- labels and rare events, without a server -----------------------------------------------------


class Stub:
    """A server that only has events."""

    def __init__(self) -> None:
        self.events = Events()

    def stats_now(self) -> ServerStats | None:
        return None


@pytest.fixture
def stub() -> Stub:
    """A server without statistics."""
    return Stub()


def test_ten_thousand_types_give_a_bounded_number_of_labels(stub: Stub) -> None:
    metrics = ServerMetrics(stub)
    for number in range(10_000):
        message = TaskMessage(str(number), f"random:{number}")
        stub.events.publish(AttemptEnded(message, Ending.SUCCEEDED, 1.0, 2.0, 0.5))
    seen = samples(metrics.registry)
    types = {labels[-1] for labels in seen.of(ENDED)}
    assert len(types) == TYPE_LIMIT + 1 == 201
    assert OTHER in types
    assert sum(seen.of(ENDED).values()) == 10_000
    assert len(seen.of("asynqio_attempt_run_seconds_count")) == 201
    assert len(seen.of("asynqio_task_wait_seconds_count")) == 201


def test_lost_leases_and_recovered_tasks_are_counted(stub: Stub) -> None:
    metrics = ServerMetrics(stub)
    stub.events.publish(LeaseLost(TaskMessage("a", "t")))
    stub.events.publish(TaskRecovered(TaskMessage("a", "t"), TaskState.PENDING))
    stub.events.publish(TaskRecovered(TaskMessage("b", "t", "mail"), TaskState.ARCHIVED))
    seen = samples(metrics.registry)
    assert seen.get("asynqio_leases_lost_total") == 1
    assert seen.of("asynqio_leases_recovered_total") == {("default",): 1, ("mail",): 1}


def test_nothing_is_counted_after_close(stub: Stub) -> None:
    metrics = ServerMetrics(stub)
    metrics.close()
    assert stub.events.listeners == ()


def test_a_failing_listener_does_not_affect_others(caplog: pytest.LogCaptureFixture, stub: Stub) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("a bug of the application")

    stub.events.listen(broken)
    stub.events.listen(heard.append)
    stub.events.publish(LeaseLost(TaskMessage("a", "t")))
    assert len(heard) == 1
    assert "a listener failed on LeaseLost" in caplog.text


# --- starting and stopping ------------------------------------------------------------------------


async def test_a_port_in_use_is_a_configuration_error(url: str) -> None:
    port = free_port()
    async with App(url) as app, app.running(metrics_port=port):
        with pytest.raises(ConfigError, match=rf"cannot serve metrics at 127\.0\.0\.1, port {port}: "):
            async with app.running(metrics_port=port):
                pytest.fail("it must not start")


async def test_the_port_is_free_again_after_the_server() -> None:
    port = free_port()
    async with App("memory://") as app:
        for _ in range(2):
            async with app.running(metrics_port=port):
                assert (await scraped(f"http://127.0.0.1:{port}/metrics")).get("asynqio_slots")


@pytest.mark.parametrize(
    ("option", "value"), [("metrics_port", 70_000), ("metrics_port", -1), ("metrics_host", "")]
)
def test_invalid_settings_are_rejected(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=option):
        Server("memory://", **{option: value})  # type: ignore[arg-type]
