"""Consumers that stop, die or lose answers: no task is lost."""

from __future__ import annotations

import signal

import pytest

from asynqio import Client, Inspector, Task, TaskState
from tests.gateway.rust.conftest import SHORT_LEASE
from tests.interop.rust.support.peers import Rust
from tests.interop.rust.support.waiting import empty
from tests.interop.support.waiting import until

TASKS = 100


async def test_the_tasks_of_a_consumer_that_stops_return_at_once(rust: Rust, url: str) -> None:
    """The crate closes its connection without waiting for its handlers."""
    async with Client(url) as client, Inspector(url) as inspector, rust.server(concurrency=2) as server:
        for id in ("a", "b"):
            await client.enqueue(Task("slow", b"x"), task_id=id, headers={"k": "v"})
            await server.event("started", id=id)
        assert await server.terminate() == 0

        async def returned() -> bool:
            return (await inspector.queue("default")).pending == 2

        await until("both are pending", returned)
        for id in ("a", "b"):
            task = await inspector.find(id)
            assert (task.state, task.retried, task.crashes) == (TaskState.PENDING, 0, 0)
            assert task.headers == {"k": "v"}
        assert await inspector.servers() == []


@pytest.mark.slow
@pytest.mark.parametrize("url", ["memory"], indirect=True)
async def test_a_consumer_that_stops_takes_no_more_tasks(rust: Rust, url: str) -> None:
    """The crate asks for tasks until the last of its parts has stopped: here for more than 5 s."""
    async with Client(url) as client, Inspector(url) as inspector, rust.server(janitor_interval=60) as server:
        await client.enqueue(Task("ok"), task_id="first")
        await server.event("ended", id="first")
        server.signal(signal.SIGTERM)

        async def cleared() -> bool:
            return not await inspector.servers()

        await until("it has removed its registration", cleared)
        await client.enqueue(Task("ok"), task_id="second")
        assert await server.ended() == 0
        assert (await inspector.find("second")).state is TaskState.PENDING
        assert len(server.waiting("started")) == 1


async def test_the_task_of_a_killed_consumer_runs_again_after_its_lease(brisk_rust: Rust, url: str) -> None:
    async with Client(url) as client, Inspector(url) as inspector, brisk_rust.server() as survivor:
        async with brisk_rust.server(concurrency=1, queues={"default": 9, "own": 1}) as victim:
            await client.enqueue(
                Task("slow", b"x"), queue="own", task_id="a", headers={"k": "v"}, retention=60
            )
            await victim.event("started", id="a")
            await victim.kill()
        async with brisk_rust.server(queues={"own": 1}) as second:
            await second.event("started", id="a")
            task = await inspector.find("a", queue="own")
            assert (task.state, task.retried, task.crashes) == (TaskState.ACTIVE, 1, 1)
            assert (task.headers, task.retention) == ({"k": "v"}, 60)
            await second.release()
            assert (await client.wait("a", queue="own", timeout=20)).state is TaskState.COMPLETED
        await client.enqueue(Task("ok"), task_id="b")
        await survivor.event("ended", id="b")


async def test_a_task_longer_than_its_lease_runs_once(brisk_rust: Rust, url: str) -> None:
    """The crate extends no lease: the gateway does."""
    async with (
        brisk_rust.server(concurrency=1) as first,
        brisk_rust.server(concurrency=1) as second,
        Client(url) as client,
    ):
        milliseconds = int(3 * SHORT_LEASE * 1000)
        await client.enqueue(Task(f"sleep:{milliseconds}"), task_id="a", retention=60)
        task = await client.wait("a", timeout=30)
        assert (task.retried, task.crashes) == (0, 0)
        assert len(first.waiting("started") + second.waiting("started")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("url", ["memory", "redis"], indirect=True)
async def test_no_task_is_lost_when_the_crate_mixes_up_answers(brisk_rust: Rust, url: str) -> None:
    """On several threads, two callers of the crate can get each other's answer: it sends a request and waits for the
    answer in two steps. A task that the wrong caller got never runs there, and no heartbeat lists it."""
    async with brisk_rust.client() as client, Inspector(url) as inspector:
        ids = {(await client.enqueue("sleep:5", b"%d" % number)).id for number in range(TASKS)}
        async with brisk_rust.server(
            one_thread=False, concurrency=16, heartbeat_interval=0.05, health_interval=0.02
        ) as server:
            for id in ids:
                await server.event("ended", id=id)
            await until("all tasks are done", lambda: empty(inspector))
