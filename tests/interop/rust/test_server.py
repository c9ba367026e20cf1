"""Tasks of asynqio's client are run by a Rust server, and asynqio's inspector sees and controls it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from asynqio import Client, Inspector, Task, TaskState
from asynqio.task_actions import CancelOutcome
from tests.interop.conftest import Ours
from tests.interop.rust.support.peers import Rust, seen
from tests.interop.rust.support.waiting import empty, left
from tests.interop.support.waiting import until

PAYLOAD = bytes(range(256))


async def test_a_task_arrives_completely(rust: Rust, ours: Ours) -> None:
    """The crate shows handlers the names of headers in lower case, and no value or name that HTTP forbids."""
    async with rust.server(queues={"mail:eu": 1}) as server, Client(ours.url) as client:
        headers = {"traceparent": "00-1-2-03", "X-Shop": "a b", "not a token": "x"}
        info = await client.enqueue(Task("ok:mail", PAYLOAD), queue="mail:eu", headers=headers, task_id="a b")
        task = seen(await server.event("started", id=info.id))
        assert (task.type, task.payload) == ("ok:mail", PAYLOAD)
        assert task.headers == {"traceparent": "00-1-2-03", "x-shop": "a b"}
        assert (await server.event("ended", id="a b")).error is None


async def test_a_delayed_task_is_promoted(rust: Rust, ours: Ours) -> None:
    async with rust.server(delayed_interval=0.2) as server, Client(ours.url) as client:
        info = await client.enqueue(Task("ok"), process_in=2)
        due = time.time() + 2
        await server.event("ended", id=info.id)
        assert due - 1 <= time.time() < due + 10


async def test_a_result_is_kept_and_frees_the_lock(rust: Rust, ours: Ours) -> None:
    async with rust.server() as server, Client(ours.url) as client:
        info = await client.enqueue(Task("result", PAYLOAD), retention=600, unique=600)
        assert await client.result(info.id, bytes, timeout=20) == PAYLOAD
        assert (await client.find(info.id)).completed_at == pytest.approx(time.time(), abs=30)
        await client.enqueue(Task("result", PAYLOAD), unique=600)
        await server.event("ended", id=info.id)


async def test_a_task_keeps_its_data_over_retries_until_it_is_archived(rust: Rust, ours: Ours) -> None:
    async with rust.server() as server, Client(ours.url) as client, Inspector(ours.url) as inspector:
        headers = {"Ünï": "☃", "k": "v"}
        first = await client.enqueue(
            Task("fail", b"no luck"), headers=headers, max_retry=1, retention=600, timeout=60, task_id="a"
        )
        await server.event("ended", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.retried) == (TaskState.RETRY, 1)
        assert task.last_error == "Other error: no luck"
        assert task.last_failed_at == pytest.approx(time.time(), abs=30)
        assert 15 - 2 <= task.next_process_at - time.time() <= 45 + 1
        kept = ("headers", "max_retry", "retention", "timeout", "payload", "type")
        assert [getattr(task, name) for name in kept] == [getattr(first, name) for name in kept]
        await inspector.run("a")
        await server.event("ended", id="a")
        await server.event("started", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.last_error) == (TaskState.ARCHIVED, "Other error: no luck")
        assert [getattr(task, name) for name in kept] == [getattr(first, name) for name in kept]


async def test_a_task_that_asks_for_no_retry_is_archived(rust: Rust, ours: Ours) -> None:
    async with rust.server() as server, Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("skip", b"never"), task_id="a")
        await server.event("ended", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.retried, task.last_error) == (TaskState.ARCHIVED, 0, "Skip retry: never")


async def test_an_unknown_type_is_a_failed_attempt(rust: Rust, ours: Ours) -> None:
    async with rust.server(), Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("unknown"), task_id="a")

        async def failed() -> bool:
            return (await inspector.find("a")).state is TaskState.RETRY

        await until("it waits for its retry", failed)
        assert "No handler registered" in (await inspector.find("a")).last_error


async def test_a_timeout_is_a_failed_attempt(rust: Rust, ours: Ours) -> None:
    async with rust.server() as server, Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("slow"), timeout=1, task_id="a")
        await server.event("dropped", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.last_error) == (TaskState.RETRY, "Other error: Task execution timeout")


async def test_a_group_is_aggregated(rust: Rust, ours: Ours) -> None:
    async with Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("ok:a", b"one"), group="g:1", headers={"k": "v"})
        await client.enqueue(Task("ok:b", b"two"), group="g:1")
        async with rust.server(aggregate=True, group_max_size=2, aggregate_type="ok:all") as server:
            event = await server.event("aggregated")
            assert event.group == "g:1"
            members = sorted((m.type, m.payload, m.headers or None) for m in event.tasks or [])
            assert members == [("ok:a", b"one", {"k": "v"}), ("ok:b", b"two", None)]
            merged = await server.event("ended")
            assert seen(merged).type == "ok:all"
            assert sorted(seen(merged).payload.split(b"\n")) == [b"one", b"two"]
            await until("the queue is empty", lambda: empty(inspector))
        assert await inspector.groups("default") == []


async def test_a_server_is_shown_with_its_tasks_until_it_stops(rust: Rust, ours: Ours) -> None:
    async with (
        rust.server(concurrency=3, queues={"default": 2, "low": 1}, strict=True) as server,
        Client(ours.url) as client,
        Inspector(ours.url) as inspector,
    ):
        await client.enqueue(Task("slow", b"x"), task_id="a")
        await server.event("started", id="a")

        async def shown() -> bool:  # the crate publishes running tasks with its next heartbeat
            return [worker.id for info in await inspector.servers() for worker in info.workers] == ["a"]

        await until("the server reports its task", shown)
        [info] = await inspector.servers()
        assert (info.pid, info.host, info.status) == (server.pid, os.uname().nodename, "active")
        assert (info.concurrency, info.queues) == (3, {"default": 2, "low": 1})
        assert info.strict_priority
        assert info.started_at == pytest.approx(time.time(), abs=60)
        [worker] = info.workers
        assert (worker.queue, worker.type, worker.payload) == ("default", "slow", b"x")
        await server.release()
        await server.event("ended", id="a")
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
        assert await inspector.servers() == []


async def test_a_paused_queue_rests(rust: Rust, ours: Ours) -> None:
    async with (
        rust.server(queues={"default": 1, "low": 1}) as server,
        Client(ours.url) as client,
        Inspector(ours.url) as inspector,
    ):
        await inspector.pause("default")
        await client.enqueue(Task("ok"), task_id="paused")
        for _ in range(3):
            info = await client.enqueue(Task("ok"), queue="low")
            await server.event("ended", id=info.id)
        assert not server.waiting("started")[3:]
        assert (await inspector.find("paused")).state is TaskState.PENDING
        await inspector.resume("default")
        await server.event("ended", id="paused")


async def test_a_cancelled_task_counts_as_done(rust: Rust, ours: Ours) -> None:
    """Go and asynqio retry a cancelled task; the crate drops its handler and reports success."""
    async with rust.server() as server, Client(ours.url) as client, Inspector(ours.url) as inspector:
        await client.enqueue(Task("slow"), task_id="a", retention=600)
        await server.event("started", id="a")
        assert await client.cancel("a") is CancelOutcome.STOPPING
        await server.event("dropped", id="a")
        assert (await left(inspector, "a")).state is TaskState.COMPLETED
        stats = await inspector.queue("default")
        assert (stats.processed, stats.failed) == (1, 0)
