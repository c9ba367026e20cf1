"""A consumer takes tasks and says how its attempts ended, before each store."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from asynqio import Client, Task, TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskMessage, TaskRef
from asynqio.core.task.task import Entry
from tests.gateway.asynq.client import ProtocolClient, ack_fields
from tests.gateway.running import RunningGateway

#: Every key of a task record, and the type of its value. Rust's clients hang without one of them.
RECORD = {
    "id": str,
    "queue": str,
    "task_type": str,
    "payload": str,
    "headers": dict,
    "retry": int,
    "retried": int,
    "error_msg": str,
    "timeout": int,
    "deadline": int,
    "group_key": str,
}


async def find(store: Store, task: dict[str, Any]) -> Any:
    [info] = await store.find([TaskRef(task["queue"], task["id"])])
    return info


async def test_a_record_has_every_key_with_its_type(gateway: RunningGateway, store: Store) -> None:
    client = Client(store)
    await client.enqueue(Task("bare"), timeout=0.25, deadline=time.time() + 99.5, task_id="bare")
    async with ProtocolClient(gateway.address) as consumer:
        task = await consumer.take()
    assert {key: type(value) for key, value in task.items()} == RECORD
    assert (task["payload"], task["timeout"], task["headers"]) == ("", 1, {})


async def test_headers_that_http_does_not_allow_are_left_out(gateway: RunningGateway, store: Store) -> None:
    headers = {"Good": "yes", "bad name": "x", "line": "a\nb", "tab": "a\tb", "umlaut": "ä"}
    await Client(store).enqueue(Task("t"), headers=headers)
    async with ProtocolClient(gateway.address) as consumer:
        assert (await consumer.take())["headers"] == {"good": "yes", "tab": "a\tb", "umlaut": "ä"}


async def test_queues_are_read_in_order_and_an_empty_one_is_null(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue(queue="low")
        await client.enqueue(queue="high")
        assert [(await client.take("high", "low"))["queue"] for _ in range(2)] == ["high", "low"]
        assert await client.dequeue("high", "low") is None


async def test_done_deletes_the_task_and_frees_its_lock(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue("enqueue_unique", ttl_seconds=600)
        task = await client.take()
        await client.end("done", task)
        assert await find(store, task) is None
        await client.enqueue("enqueue_unique", ttl_seconds=600)
    [stats] = await store.stats(["default"])
    assert (stats.processed, stats.failed, stats.active) == (1, 0, 0)


async def test_a_task_with_retention_completes_with_its_result(gateway: RunningGateway, store: Store) -> None:
    await Client(store).enqueue(Task("t"), retention=600)
    async with ProtocolClient(gateway.address) as client:
        for end in ("done", "mark_complete"):
            await client.enqueue(retention=600)
            task = await client.take()
            result = base64.b64encode(b"42").decode()
            await client.succeed(
                "write_result", {"queue": "default", "task_id": task["id"], "result": result}
            )
            await client.end(end, task)
            info = await find(store, task)
            assert (info.state, info.result) == (TaskState.COMPLETED, b"42")


async def test_a_retry_keeps_everything_but_counts_and_time(gateway: RunningGateway, store: Store) -> None:
    at = int(time.time()) + 3_600
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue(max_retry=5, timeout=60, retention=600, headers={"a": "1"})
        task = await client.take()
        await client.end("retry", task, process_at=at, error_msg="Other error: smtp down", is_failure=True)
        info = await find(store, task)
    assert (info.state, info.retried, info.max_retry) == (TaskState.RETRY, 1, 5)
    assert info.next_process_at == pytest.approx(at, abs=1.5)
    assert (info.last_error, info.timeout, info.retention) == ("Other error: smtp down", 60, 600)
    assert (info.headers, info.payload) == ({"a": "1"}, b'{"to":"a@b.c"}')
    [stats] = await store.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 1)


async def test_a_retry_that_is_no_failure_does_not_count(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue(max_retry=0)
        task = await client.take()
        await client.end("retry", task, process_at=0, error_msg="", is_failure=False)
        info = await find(store, task)
    assert (info.state in (TaskState.RETRY, TaskState.PENDING), info.retried) == (True, 0)
    [stats] = await store.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)


async def test_a_retry_without_retries_left_archives(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue(max_retry=0)
        task = await client.take()
        await client.end("retry", task, process_at=0, error_msg="again", is_failure=True)
        info = await find(store, task)
    assert (info.state, info.last_error) == (TaskState.ARCHIVED, "again")


async def test_archive_keeps_the_error(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue()
        task = await client.take()
        await client.end("archive", task, error_msg="Other error: no such user")
        info = await find(store, task)
    assert (info.state, info.last_error, info.retried) == (TaskState.ARCHIVED, "Other error: no such user", 0)
    [attempts] = await store.attempts([info.ref])
    assert [attempt.error for attempt in attempts] == ["Other error: no such user"]


async def test_what_a_client_does_not_hold_it_cannot_end(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue()
        task = await client.take()
        await client.end("done", task)
        again = ack_fields(task)
        failed = {**again, "error_msg": "x"}
        for type, data in (
            ("done", again),
            ("mark_complete", again),
            ("archive", failed),
            ("retry", {**failed, "process_at": 0, "is_failure": True}),
            ("write_result", {"queue": "default", "task_id": task["id"], "result": ""}),
            ("extend_lease", {"queue": "default", "task_id": task["id"], "lease_duration_seconds": 30}),
        ):
            assert (await client.error(type, data)).endswith('"NOT": FOUND')
        await client.enqueue(task_id="waiting")
        assert (await client.error("done", {**again, "task_id": "waiting"})).endswith('"NOT": FOUND')
    assert await find(store, {"queue": "default", "id": "waiting"}) is not None


async def test_a_client_that_reconnected_ends_its_task(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as first:
        await first.enqueue()
        task = await first.take()
        first.socket.transport.abort()
        async with ProtocolClient(gateway.address) as second:
            await second.end("done", task)
    assert await find(store, task) is None


async def test_a_task_whose_deadline_passed_is_archived_and_the_next_one_handed_out(
    gateway: RunningGateway, store: Store
) -> None:
    late = TaskMessage("late", "late", deadline=time.time() - 5)
    await store.enqueue([Entry(late), Entry(TaskMessage("next", "next"))])
    async with ProtocolClient(gateway.address) as consumer:
        assert (await consumer.take())["task_type"] == "next"
    [info] = await store.find([late.ref])
    assert info is not None
    assert (info.state, info.last_error.startswith("deadline exceeded")) == (TaskState.ARCHIVED, True)


async def test_a_task_of_a_paused_type_is_deferred_and_the_next_one_handed_out(
    gateway: RunningGateway, store: Store
) -> None:
    await store.enqueue([Entry(TaskMessage("held", "bulk")), Entry(TaskMessage("free", "mail"))])
    await store.pause_type("default", "bulk", True)
    async with ProtocolClient(gateway.address) as consumer:
        assert (await consumer.take())["id"] == "free"
        assert await consumer.dequeue() is None
        info = await find(store, {"queue": "default", "id": "held"})
        assert (info.state, info.retried) == (TaskState.RETRY, 0)
        await store.pause_type("default", "bulk", False)
        await store.move(Action.RUN, [info.ref])
        async with asyncio.timeout(30):
            while (
                task := await consumer.dequeue()
            ) is None:  # deferred once more within a second of the resume
                await store.move(Action.RUN, [info.ref])
                await asyncio.sleep(0.1)
        assert task["id"] == "held"


async def test_extending_and_listing_leases_has_nothing_to_do(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue()
        task = await client.take()
        await client.succeed(
            "extend_lease", {"queue": "default", "task_id": task["id"], "lease_duration_seconds": 30}
        )
        answer = await client.call("list_lease_expired", {"cutoff": int(time.time()), "queues": ["default"]})
        assert answer == {"type": "lease_expired_tasks", "data": []}
