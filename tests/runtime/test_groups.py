"""Groups: which function aggregates which group, and when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from asynqio import Aggregation, App, ConfigError, Mux, Server, Task
from tests.runtime.waiting import within


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
