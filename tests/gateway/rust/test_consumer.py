"""A Rust server takes its tasks from a gateway: the published crate, unchanged."""

from __future__ import annotations

import os
import time

import pytest

from asynqio import Client, Inspector, Task, TaskState
from asynqio.task_actions import CancelOutcome
from tests.interop.rust.support.peers import Rust, seen
from tests.interop.rust.support.waiting import empty, left
from tests.interop.support.waiting import until

PAYLOAD = bytes(range(256))


async def test_a_consumer_is_shown_as_a_server_until_it_stops(rust: Rust, url: str) -> None:
    async with Client(url) as client, Inspector(url) as inspector:
        async with rust.server(concurrency=3, queues={"default": 2, "low": 1}, strict=True) as server:
            await client.enqueue(Task("slow", b"x"), task_id="a")
            await server.event("started", id="a")

            async def shown() -> bool:  # the crate reports running tasks with its next heartbeat
                return [worker.id for info in await inspector.servers() for worker in info.workers] == ["a"]

            await until("the consumer reports its task", shown)
            [info] = await inspector.servers()
            assert (info.pid, info.host, info.status) == (server.pid, os.uname().nodename, "active")
            assert (info.concurrency, info.queues) == (3, {"default": 2, "low": 1})
            assert info.strict_priority
            assert info.started_at == pytest.approx(time.time(), abs=60)
            [worker] = info.workers
            assert (worker.queue, worker.type, worker.payload) == ("default", "slow", b"x")
            await server.release()
            await server.event("ended", id="a")
            assert await server.terminate() == 0
        assert await inspector.servers() == []


async def test_a_task_arrives_with_its_data_and_its_result_is_kept(rust: Rust, url: str) -> None:
    """The protocol has no retention: the stored one counts."""
    async with rust.server(queues={"mail:eu": 1}) as server, Client(url) as client:
        headers = {"traceparent": "00-1-2-03", "X-Shop": "a b", "not a token": "x"}
        await client.enqueue(
            Task("result:mail", PAYLOAD), queue="mail:eu", headers=headers, retention=600, task_id="a b"
        )
        task = seen(await server.event("started", id="a b"))
        assert (task.type, task.payload) == ("result:mail", PAYLOAD)
        assert task.headers == {"traceparent": "00-1-2-03", "x-shop": "a b"}
        assert await client.result("a b", bytes, queue="mail:eu", timeout=20) == PAYLOAD
        info = await client.find("a b", queue="mail:eu")
        assert (info.headers, info.retention) == (headers, 600)


async def test_a_task_of_rust_for_rust(rust: Rust, url: str) -> None:
    async with rust.server() as server, rust.client() as client, Inspector(url) as inspector:
        info = await client.enqueue("ok", b"x", headers={"k": "v"})
        assert seen(await server.event("ended", id=info.id)).headers == {"k": "v"}
        await until("the task is deleted", lambda: empty(inspector))
        assert (await inspector.queue("default")).processed == 1


async def test_a_failed_task_keeps_its_data_over_retries_until_it_is_archived(rust: Rust, url: str) -> None:
    async with rust.server() as server, Client(url) as client, Inspector(url) as inspector:
        headers = {"k": "v"}
        first = await client.enqueue(
            Task("fail", b"no luck"), headers=headers, max_retry=1, retention=600, timeout=60, task_id="a"
        )
        await server.event("ended", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.retried) == (TaskState.RETRY, 1)
        assert task.last_error == "Other error: no luck"
        # The consumer decides when: 15 to 45 seconds after the first failure.
        assert 15 - 10 <= task.next_process_at - time.time() <= 45 + 1
        kept = ("headers", "max_retry", "retention", "timeout", "payload", "type")
        assert [getattr(task, name) for name in kept] == [getattr(first, name) for name in kept]
        [attempt] = await inspector.attempts("a")
        assert str(server.pid) in attempt.worker
        await inspector.run("a")
        await server.event("ended", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.last_error) == (TaskState.ARCHIVED, "Other error: no luck")
        assert [getattr(task, name) for name in kept] == [getattr(first, name) for name in kept]


async def test_a_retried_task_succeeds_with_the_result_of_its_last_run(rust: Rust, url: str) -> None:
    async with rust.server() as server, Client(url) as client, Inspector(url) as inspector:
        await client.enqueue(Task("flaky:2", b"x"), max_retry=5, retention=600, unique=600, task_id="a")
        for _ in range(2):
            await server.event("ended", id="a")
            assert (await left(inspector, "a")).state is TaskState.RETRY
            await inspector.run("a")
        assert (await client.wait("a", timeout=20)).retried == 2


async def test_a_task_that_asks_for_no_retry_is_archived(rust: Rust, url: str) -> None:
    async with rust.server() as server, Client(url) as client, Inspector(url) as inspector:
        await client.enqueue(Task("skip", b"never"), task_id="a")
        await server.event("ended", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.retried, task.last_error) == (TaskState.ARCHIVED, 0, "Skip retry: never")


async def test_a_timeout_is_kept_by_the_consumer(rust: Rust, url: str) -> None:
    async with rust.server() as server, Client(url) as client, Inspector(url) as inspector:
        await client.enqueue(Task("slow"), timeout=1, task_id="a")
        await server.event("dropped", id="a")
        task = await left(inspector, "a")
        assert (task.state, task.last_error) == (TaskState.RETRY, "Other error: Task execution timeout")


async def test_a_delayed_task_of_any_queue_is_promoted_by_the_gateway(rust: Rust, url: str) -> None:
    async with rust.server(queues={"low": 1}) as server, rust.client() as client:
        info = await client.enqueue_in(2, "ok", queue="low")
        due = time.time() + 2
        await server.event("ended", id=info.id)
        assert time.time() >= due - 1.1


@pytest.mark.parametrize("end", ["ok", "result"])
async def test_a_lock_is_released_with_its_task(rust: Rust, url: str, end: str) -> None:
    async with rust.server() as server, rust.client() as client, Inspector(url) as inspector:
        info = await client.enqueue_unique(600, end, b"x")
        await server.event("ended", id=info.id)
        await until("the task is deleted", lambda: empty(inspector))
        await client.enqueue_unique(600, end, b"x")


async def test_groups_are_aggregated_by_the_consumer(rust: Rust, url: str) -> None:
    async with rust.client() as client, Client(url) as ours, Inspector(url) as inspector:
        await client.add_to_group("g:1", "ok:a", b"one", headers={"k": "v"})
        await client.add_to_group_unique("g:1", 600, "ok:b", b"two")
        await ours.enqueue(Task("ok:c", b"three"), group="g:1")
        async with rust.server(aggregate=True, group_max_size=3, aggregate_type="ok:all") as server:
            event = await server.event("aggregated")
            members = sorted((m.type, m.payload, m.headers or None) for m in event.tasks or [])
            assert event.group == "g:1"
            assert members == [("ok:a", b"one", {"k": "v"}), ("ok:b", b"two", None), ("ok:c", b"three", None)]
            merged = await server.event("ended")
            assert seen(merged).type == "ok:all"
            assert sorted(seen(merged).payload.split(b"\n")) == [b"one", b"three", b"two"]
            await until("the queue is empty", lambda: empty(inspector))
        assert await inspector.groups("default") == []
        await client.add_to_group_unique("g:1", 600, "ok:b", b"two")


async def test_a_running_task_is_cancelled(rust: Rust, url: str) -> None:
    """The crate drops the handler and reports success."""
    async with rust.server() as server, Client(url) as client, Inspector(url) as inspector:
        for id in ("a", "b"):
            await client.enqueue(Task("slow"), task_id=id, retention=600)
            await server.event("started", id=id)
        assert await client.cancel("a") is CancelOutcome.STOPPING
        await server.event("dropped", id="a")
        assert (await left(inspector, "a")).state is TaskState.COMPLETED
        assert not server.waiting("dropped")
        await server.release()
        await server.event("ended", id="b")


async def test_a_paused_queue_rests(rust: Rust, url: str) -> None:
    async with (
        rust.server(queues={"default": 1, "low": 1}) as server,
        Client(url) as client,
        Inspector(url) as inspector,
    ):
        await client.enqueue(Task("ok"), task_id="first")
        await server.event("ended", id="first")
        await inspector.pause("default")
        await client.enqueue(Task("ok"), task_id="paused")
        for number in range(3):
            await client.enqueue(Task("ok"), queue="low", task_id=f"{number}")
            await server.event("ended", id=f"{number}")
        assert (await inspector.find("paused")).state is TaskState.PENDING
        await inspector.resume("default")
        await server.event("ended", id="paused")
