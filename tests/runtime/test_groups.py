"""Groups: which function aggregates which group, and when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from asynqio import Aggregation, App, ConfigError, Mux, Server, Task, TaskState
from tests.runtime.waiting import state_of, within

#: The modules that read how long a claim lasts.
LEASED = (
    "asynqio.runtime.duties.claims",
    "asynqio.brokers.memory.operations.groups",
    "asynqio.brokers.sqlite.operations.groups",
    "asynqio.brokers.redis.operations.groups",
)


async def test_groups_are_aggregated_by_the_function_of_their_longest_pattern(app: App) -> None:
    # Given three functions, each with a rule of its own
    merged: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    @app.aggregate
    def others(group: str, tasks: Sequence[Task]) -> Task:
        return Task.json("merged", {"by": "others", "group": group})

    @app.aggregate("user:", max_size=2)
    async def users(group: str, tasks: Sequence[Task]) -> Task:
        return Task.json("merged", {"by": "users", "group": group})

    @app.aggregate("user:vip", grace=timedelta(minutes=5), max_size=1)
    def vips(group: str, tasks: Sequence[Task]) -> Task:
        return Task.json("merged", {"by": "vips", "group": group})

    @app.task("merged")
    async def on_merged(by: str, group: str) -> None:
        await merged.put((by, group))

    # When their groups get members
    async with app.server(group_grace=60, group_max_size=3).running(app.mux):
        for group, count in (("user:1", 2), ("user:vip", 1), ("user:vip2", 1), ("shop", 3), ("user:2", 1)):
            for _ in range(count):
                await app.enqueue(Task("event"), group=group)
        found = sorted([await within(merged.get()) for _ in range(4)])
    # Then each was ripe by its own rule
    assert found == [("others", "shop"), ("users", "user:1"), ("vips", "user:vip"), ("vips", "user:vip2")]
    assert [group.group for group in await app.broker.groups("default")] == ["user:2"]


async def test_a_server_takes_a_mapping_of_functions_and_ignores_other_groups(
    app: App,
) -> None:
    done = asyncio.Event()

    async def on_merged(task: Task) -> None:
        done.set()

    def merge(group: str, tasks: Sequence[Task]) -> Task:
        return Task("merged")

    mux = Mux()
    mux.handle("merged", on_merged)
    server = Server(
        app.broker,
        aggregate={"a": merge, "b": Aggregation(function=merge, max_size=1)},
        group_grace=1000,
    )
    async with server.running(mux):
        for group in ("a", "b", "c"):
            await app.enqueue(Task("event"), group=group)
        await within(done.wait())
    assert [group.group for group in await app.broker.groups("default")] == ["a", "c"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"grace": 0}, "grace=0 must be a number, at least 1"),
        ({"grace": "5"}, "grace='5' must be a number"),
        ({"max_delay": -1}, "max_delay=-1 must be a number, at least 0"),
        ({"max_size": 1.5}, "max_size=1.5 must be a whole number, at least 0"),
        ({"max_size": True}, "max_size=True must be a number"),
    ],
)
async def test_an_invalid_rule_is_rejected_at_declaration(
    app: App, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        app.aggregate("g", **options)(lambda group, tasks: Task("x"))


async def test_two_functions_for_one_pattern_and_invalid_patterns_are_rejected(app: App) -> None:
    def merge(group: str, tasks: Sequence[Task]) -> Task:
        return Task("x")

    def other(group: str, tasks: Sequence[Task]) -> Task:
        return Task("y")

    app.aggregate(merge)
    app.aggregate("user:")(merge)
    app.aggregate(merge)  # the same function again: a notebook, or a reload
    with pytest.raises(ConfigError, match="for all groups already"):
        app.aggregate(other)
    with pytest.raises(ConfigError, match="for groups 'user:' already"):
        app.aggregate("user:")(other)
    with pytest.raises(ConfigError, match="must not be blank"):
        app.aggregate(" ")
    with pytest.raises(ConfigError, match="5 is not a function"):
        Server("memory://", aggregate={"a": 5})  # type: ignore[dict-item]


async def test_a_flushed_group_is_aggregated_at_once(app: App) -> None:
    done = asyncio.Event()

    @app.aggregate
    def merge(group: str, tasks: Sequence[Task]) -> Task:
        return Task("merged")

    async def on_merged(task: Task) -> None:
        done.set()

    app.mux.handle("merged", on_merged)
    async with app.server(group_grace=1000).running(app.mux):
        await app.enqueue(Task("event"), group="daily")
        assert await app.inspector.flush_group("default", "daily") == 1
        await within(done.wait())


async def test_b31_an_aggregation_that_raises_is_logged_and_counted(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    tried = asyncio.Event()

    @app.aggregate
    async def broken(group: str, tasks: Sequence[Task]) -> Task:
        tried.set()
        raise ValueError("cannot aggregate")

    with caplog.at_level(logging.ERROR):
        async with app.server(group_max_size=1).running(app.mux) as server:
            await app.enqueue(Task("event"), group="daily")
            await within(tried.wait())
            assert server.info().unmerged == 1
    assert "could not be aggregated" in caplog.text


# --- slow and failing functions -------------------------------------------------------------------


async def test_a_slow_function_runs_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a claim that would expire while the function runs, which also blocks the event loop
    for module in LEASED:
        monkeypatch.setattr(f"{module}.BATCH_LEASE", 5.0)
    begun: list[str] = []
    done = asyncio.Event()

    @app.aggregate
    async def slow(group: str, tasks: Sequence[Task]) -> Task:
        begun.append(group)
        until = time.monotonic() + 2  # real time: the claim is renewed from another thread
        while time.monotonic() < until:
            pass
        await asyncio.sleep(4)
        return Task("merged")

    async def on_merged(task: Task) -> None:
        done.set()

    app.mux.handle("merged", on_merged)
    async with app.server(group_max_size=1).running(app.mux) as server:
        await app.enqueue(Task("event"), group="daily")
        await within(done.wait())
        assert server.info().unmerged == 0
    assert begun == ["daily"]


async def test_batches_do_not_wait_for_each_other(app: App) -> None:
    both = asyncio.Barrier(2)
    merged: asyncio.Queue[str] = asyncio.Queue()

    @app.aggregate
    async def merge(group: str, tasks: Sequence[Task]) -> Task:
        await both.wait()
        return Task("merged", group.encode())

    async def on_merged(task: Task) -> None:
        await merged.put((task.payload or b"").decode())

    app.mux.handle("merged", on_merged)
    async with app.server(group_max_size=1).running(app.mux):
        for group in "ab":
            await app.enqueue(Task("event"), group=group)
        assert {await within(merged.get()), await within(merged.get())} == {"a", "b"}


async def test_plain_functions_do_not_wait_for_each_other(app: App) -> None:
    both = threading.Barrier(2)
    merged: asyncio.Queue[str] = asyncio.Queue()

    @app.aggregate
    def merge(group: str, tasks: Sequence[Task]) -> Task:
        both.wait(10)
        return Task("merged", group.encode())

    async def on_merged(task: Task) -> None:
        await merged.put((task.payload or b"").decode())

    app.mux.handle("merged", on_merged)
    async with app.server(group_max_size=1, concurrency=1).running(app.mux):
        for group in "ab":
            await app.enqueue(Task("event"), group=group)
        assert {await within(merged.get()), await within(merged.get())} == {"a", "b"}


async def test_members_are_archived_after_n_failures_and_can_be_run(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    ran: asyncio.Queue[str] = asyncio.Queue()

    @app.aggregate
    async def broken(group: str, tasks: Sequence[Task]) -> Task:
        calls.append(len(tasks))
        raise ValueError("cannot aggregate")

    @app.task("event")
    async def event(name: str) -> None:
        await ran.put(name)

    with caplog.at_level(logging.ERROR), events_logged() as events:
        # When two servers fail, one after the other
        infos = [
            await event.with_options(group="daily").enqueue("a"),
            await event.with_options(group="daily").enqueue("b"),
        ]
        async with app.server(group_max_size=2, group_max_failures=3).running(app.mux):
            await logged(events, "aggregation_failed")
        async with app.server(group_max_size=2, group_max_failures=3).running(app.mux):
            # Then their failures count together
            found = [await state_of(app, info.info, TaskState.ARCHIVED) for info in infos]
            assert {task.last_error for task in found} == {
                "aggregation failed 3 times in a row. Last: ValueError: cannot aggregate"
            }
            assert calls == [2, 2, 2]
            assert await app.broker.groups("default") == []
            # and an operator can run the members
            for info in infos:
                await app.inspector.run(info)
            assert {await within(ran.get()), await within(ran.get())} == {"a", "b"}
    failed = [record for record in caplog.records if getattr(record, "event", "") == "aggregation_failed"]
    assert [record.failures for record in failed] == [1, 2]  # type: ignore[attr-defined]
    assert [record.retry_in for record in failed] == [1.0, 2.0]  # type: ignore[attr-defined]
    assert "it is tried again in 1 s, at " in failed[0].getMessage()
    [archived] = [
        record for record in caplog.records if getattr(record, "event", "") == "aggregation_archived"
    ]
    assert "its 2 tasks were archived" in archived.getMessage()


@pytest.mark.parametrize("lane", ["async", "thread"])
async def test_shutdown_returns_the_batch_at_once(app: App, lane: str) -> None:
    begun, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def waiting(group: str, tasks: Sequence[Task]) -> Task:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    def blocking(group: str, tasks: Sequence[Task]) -> Task:
        loop.call_soon_threadsafe(begun.set)
        release.wait(20)
        return Task("merged")

    app.aggregate(waiting if lane == "async" else blocking)
    async with app.server(group_max_size=1).running(app.mux):
        await app.enqueue(Task("event"), group="daily")
        await within(begun.wait())
    release.set()
    [group] = await app.broker.groups("default")
    assert (group.size, group.failure) == (1, None)


async def test_a_function_that_takes_too_long_or_cancels_itself_fails(app: App) -> None:
    @app.aggregate("slow", timeout=0.01)
    async def slow(group: str, tasks: Sequence[Task]) -> Task:
        await asyncio.Event().wait()
        raise AssertionError

    @app.aggregate("cancelled")
    async def cancelled(group: str, tasks: Sequence[Task]) -> Task:
        raise asyncio.CancelledError

    with events_logged() as events:
        async with app.server(group_max_size=1).running(app.mux):
            for group in ("slow", "cancelled"):
                await app.enqueue(Task("event"), group=group)
            await logged(events, "aggregation_failed", 2)
    errors = sorted(group.failure.error for group in await app.broker.groups("default") if group.failure)
    assert errors == ["RuntimeError: the aggregate function was cancelled by itself", "TimeoutError"]


async def test_members_are_not_archived_because_the_merged_task_is_refused(app: App) -> None:
    @app.aggregate
    async def merge(group: str, tasks: Sequence[Task]) -> Task:
        return Task("merged", task_id="taken")

    await app.enqueue(Task("merged"), task_id="taken", queue="default", process_in=1000)
    with events_logged() as events:
        async with app.server(group_max_size=1, group_max_failures=1).running(app.mux):
            await app.enqueue(Task("event"), group="daily")
            await logged(events, "aggregation_refused", 2)
    [group] = await app.broker.groups("default")
    assert group.failure is not None
    assert group.failure.error == "the merged task was refused: ID_CONFLICT"


async def test_a_server_warns_of_groups_that_no_server_aggregates(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynqio.runtime.duties.group_check.INTERVAL", 0.05)

    @app.aggregate("user:")
    def merge(group: str, tasks: Sequence[Task]) -> Task:
        return Task("merged")

    with events_logged() as events:
        async with app.server().running(app.mux):
            await app.enqueue(Task("event"), group="user:1")
            await app.enqueue(Task("event"), group="shop:1")
            await logged(events, "groups_not_aggregated")


@contextlib.contextmanager
def events_logged() -> Iterator[asyncio.Queue[str]]:
    """The events that servers log meanwhile."""
    loop, events = asyncio.get_running_loop(), asyncio.Queue[str]()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(events.put_nowait, getattr(record, "event", ""))

    handler, log = Handler(), logging.getLogger("asynqio.server")
    log.addHandler(handler)
    try:
        yield events
    finally:
        log.removeHandler(handler)


async def logged(events: asyncio.Queue[str], event: str, times: int = 1) -> None:
    """Wait until an event was logged."""
    while times:
        times -= await within(events.get()) == event
