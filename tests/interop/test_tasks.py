"""Tasks enqueued by one side run on the other with all their data."""

from __future__ import annotations

import math
import time

import pytest

from asynqio import Client, Task
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.process import PeerError

HEADERS = {"traceparent": "00-1-2-03", "Ünï": "☃"}


async def test_a_task_arrives_completely(producer: Side, worker: Side) -> None:
    async with worker.server(queues={"mail:eu": 1}) as server, producer.client() as client:
        payload = bytes(range(256))
        info = await client.enqueue(
            "ok:mail", payload, queue="mail:eu", max_retry=3, timeout=60, headers=HEADERS, task_id="a b"
        )
        assert (info.id, info.state, info.queue) == ("a b", "pending", "mail:eu")
        before = time.time()
        seen = (await server.event("started", id="a b")).seen
        assert (seen.type, seen.payload, seen.queue) == ("ok:mail", payload, "mail:eu")
        assert (seen.headers, seen.max_retry, seen.retried) == (HEADERS, 3, 0)
        assert seen.deadline == pytest.approx(before + 60, abs=5)
        assert (await server.event("ended", id="a b")).error is None


@pytest.mark.parametrize("payload", [None, b""], ids=["nil", "empty"])
async def test_a_missing_payload_arrives_as_no_bytes(
    producer: Side, worker: Side, payload: bytes | None
) -> None:
    async with worker.server() as server, producer.client() as client:
        info = await client.enqueue("ok", payload)
        assert not (await server.event("started", id=info.id)).seen.payload


async def test_a_deadline_is_kept(producer: Side, worker: Side) -> None:
    async with worker.server() as server, producer.client() as client:
        deadline = math.floor(time.time()) + 500.0
        info = await client.enqueue("ok", deadline=deadline, timeout=1000)
        assert (await server.event("started", id=info.id)).seen.deadline == pytest.approx(deadline, abs=1)


async def test_a_timeout_ends_an_attempt(producer: Side, worker: Side) -> None:
    async with (
        worker.server(retry_delay=600) as server,
        producer.client() as client,
        producer.inspector() as inspector,
    ):
        info = await client.enqueue("sleep:60000", timeout=1)
        await server.event("failed", id=info.id)
        await server.terminate()
        task = await inspector.task("default", info.id)
        assert (task.state, task.retried) == ("retry", 1)
        assert "deadline" in task.last_err


async def test_a_delayed_task_starts_when_due(producer: Side, worker: Side) -> None:
    async with (
        worker.server(delayed_interval=1) as server,
        producer.client() as client,
        worker.inspector() as inspector,
    ):
        info = await client.enqueue("ok", b"later", process_in=2)
        due = time.time() + 2
        assert info.state == "scheduled"
        assert info.next_process_at == pytest.approx(due, abs=0.5)
        waiting = await inspector.task("default", info.id)
        assert waiting.state == "scheduled"
        assert waiting.next_process_at == pytest.approx(due, abs=1.5)
        await server.event("started", id=info.id)
        # Go truncates to whole seconds (B21), so its tasks may start up to a second early.
        assert time.time() >= math.floor(due) - 0.5
        assert time.time() < due + 2.5


async def test_a_result_is_readable_by_the_other_side(producer: Side, worker: Side) -> None:
    async with (
        worker.server() as server,
        producer.client() as client,
        producer.inspector() as inspector,
    ):
        info = await client.enqueue("result", b"\x00answer", retention=3600)
        await server.event("ended", id=info.id)
        await server.terminate()
        task = await inspector.task("default", info.id)
        assert (task.state, task.result, task.retention) == ("completed", b"\x00answer", 3600)
        assert task.completed_at == pytest.approx(time.time(), abs=5)


async def test_an_asynqio_client_waits_for_the_result_of_a_go_worker(go: Go, ours: Ours) -> None:
    async with Client(ours.url) as client, go.server():
        info = await client.enqueue(Task("result", b"42"), retention=3600)
        assert await client.result(info, int, timeout=20) == 42


async def test_without_retention_the_task_is_deleted(
    producer: Side, worker: Side, redis_server: RedisServer
) -> None:
    async with worker.server() as server, producer.client() as client, producer.inspector() as inspector:
        for type in ("ok", "result", "revoke"):
            info = await client.enqueue(type, b"x", task_id=type)
            await server.event("ended", id=info.id)
        await server.terminate()
        for type in ("ok", "result", "revoke"):
            with pytest.raises(PeerError, match="task_not_found"):
                await inspector.task("default", type)
        queue = await inspector.queue("default")
        assert (queue.size, queue.processed, queue.failed) == (0, 3, 0)


async def test_both_sides_run_attempts_of_one_task(go: Go, ours: Ours) -> None:
    """Each attempt rewrites the message; no field may be lost on either side."""
    async with go.client() as client, go.inspector() as inspector, ours.inspector() as our_inspector:
        info = await client.enqueue(
            "flaky:3", b"x", headers=HEADERS, max_retry=5, timeout=77, retention=99, unique=600
        )
        sides: list[Side] = [ours, go, ours, go]
        for attempt, side in enumerate(sides):
            async with side.server(retry_delay=600) as server:
                seen = (await server.event("started", id=info.id)).seen
                assert (seen.retried, seen.headers, seen.payload) == (attempt, HEADERS, b"x")
                await server.event("ended", id=info.id)
                await server.terminate()
            task = await inspector.task("default", info.id)
            assert task == await our_inspector.task("default", info.id)
            assert (task.timeout, task.retention, task.max_retry) == (77, 99, 5)
            assert task.state == ("retry" if attempt < 3 else "completed")
            if attempt < 3:
                await our_inspector.run("default", info.id)


async def test_the_last_failure_archives_the_task(producer: Side, worker: Side) -> None:
    async with worker.server() as server, producer.client() as client, producer.inspector() as inspector:
        await client.enqueue("fail", b"no luck", task_id="last", max_retry=0)
        await client.enqueue("skip", b"hopeless", task_id="skipped", max_retry=5)
        for id in ("last", "skipped"):
            await server.event("failed", id=id)
        await server.terminate()
        for id, reason in {"last": "no luck", "skipped": "hopeless"}.items():
            task = await inspector.task("default", id)
            assert (task.state, task.retried) == ("archived", 0)
            assert reason in task.last_err
            assert task.last_failed_at == pytest.approx(time.time(), abs=5)
        queue = await inspector.queue("default")
        assert (queue.archived, queue.processed, queue.failed) == (2, 2, 2)


async def test_an_error_that_is_no_failure_is_not_counted(producer: Side, worker: Side) -> None:
    async with (
        worker.server(retry_delay=600) as server,
        producer.client() as client,
        producer.inspector() as inspector,
    ):
        info = await client.enqueue("soft", b"later")
        await server.event("ended", id=info.id)
        await server.terminate()
        task, queue = await inspector.task("default", info.id), await inspector.queue("default")
        assert (task.state, task.retried) == ("retry", 0)
        assert "later" in task.last_err
        assert (queue.processed, queue.failed) == (0, 0)


async def test_a_stopping_server_hands_back_its_task(producer: Side, worker: Side) -> None:
    async with producer.client() as client, producer.inspector() as inspector:
        async with worker.server(concurrency=1, shutdown_timeout=1) as server:
            await client.enqueue("sleep:60000", task_id="long")
            await server.event("started", id="long")
            await client.enqueue("ok", task_id="next")
            await server.terminate()
        task = await inspector.task("default", "long")
        assert (task.state, task.retried, task.last_err) == ("pending", 0, "")
        assert [task.id for task in await inspector.tasks("default", "pending")] == ["long", "next"]


async def test_tasks_of_a_go_scheduler_run_on_an_asynqio_worker(go: Go, ours: Ours) -> None:
    async with ours.server(queues={"low": 1}) as server, go.scheduler() as scheduler:
        await scheduler.register("@every 1s", "ok:tick", b"now", queue="low", headers=HEADERS)
        await scheduler.start()
        seen = (await server.event("started")).seen
        assert (seen.type, seen.payload, seen.headers) == ("ok:tick", b"now", HEADERS)
