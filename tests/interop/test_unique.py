"""Uniqueness locks and task ids apply to both sides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynqio import Client, DuplicateTask, Task, TaskState
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.process import PeerError

PAYLOADS = [None, b"", b'{"user_id":42}', bytes(range(256))]


@pytest.mark.parametrize("payload", PAYLOADS, ids=["nil", "empty", "json", "binary"])
async def test_a_lock_rejects_duplicates_of_the_other_side(
    producer: Side, worker: Side, payload: bytes | None
) -> None:
    async with producer.client() as first, worker.client() as second:
        await first.enqueue("email:welcome", payload, unique=600)
        for client in (first, second):
            with pytest.raises(PeerError, match="duplicate"):
                await client.enqueue("email:welcome", payload, unique=600)
        await second.enqueue("email:welcome", payload)  # not unique
        await second.enqueue("email:welcome", payload, unique=600, queue="low")
        await second.enqueue("email:goodbye", payload, unique=600)


async def test_nil_and_empty_are_two_payloads(producer: Side, worker: Side) -> None:
    async with producer.client() as first, worker.client() as second:
        await first.enqueue("ok", None, unique=600)
        await second.enqueue("ok", b"", unique=600)


@pytest.mark.parametrize("how", ["pending", "scheduled", "grouped"])
async def test_a_lock_lasts_for_the_requested_time(
    producer: Side, worker: Side, redis_server: RedisServer, how: str
) -> None:
    async with producer.client() as first, worker.client() as second:
        if how == "pending":
            await first.enqueue("ok", b"x", unique=600)
        elif how == "scheduled":
            await first.enqueue("ok", b"x", unique=600, process_in=300)
        else:
            await first.enqueue("ok", b"x", unique=600, group="g")
        with pytest.raises(PeerError, match="duplicate"):
            await second.enqueue("ok", b"x", unique=600)
        key = "asynq:{default}:unique:ok:9dd4e461268c8034f5c8564e155c67a6"
        left = await asyncio.to_thread(redis_server.cli, "TTL", key)
        assert left == pytest.approx(900 if how == "scheduled" else 600, abs=3)


@pytest.mark.parametrize("end", ["ok", "result", "revoke"])
async def test_a_lock_is_released_with_its_task(producer: Side, worker: Side, end: str) -> None:
    async with worker.server() as server, producer.client() as client:
        info = await client.enqueue(end, b"x", unique=600, retention=60)
        await server.event("started", id=info.id)
        await server.event("ended", id=info.id)
        await server.terminate()
        await client.enqueue(end, b"x", unique=600)


async def test_a_lock_is_held_while_its_task_is_retried(producer: Side, worker: Side) -> None:
    async with worker.server(retry_delay=600) as server, producer.client() as client:
        info = await client.enqueue("fail", b"x", unique=600)
        await server.event("failed", id=info.id)
        await server.terminate()
        with pytest.raises(PeerError, match="duplicate"):
            await client.enqueue("fail", b"x", unique=600)


async def test_deleting_a_task_of_the_other_side_releases_its_lock(producer: Side, worker: Side) -> None:
    async with producer.client() as client, worker.inspector() as inspector:
        await client.enqueue("ok", b"x", unique=600, task_id="a", process_in=300)
        await inspector.delete("default", "a")
        await client.enqueue("ok", b"x", unique=600)


async def test_an_id_is_taken_in_its_queue_for_both_sides(producer: Side, worker: Side) -> None:
    async with producer.client() as first, worker.client() as second, worker.server() as server:
        await first.enqueue("ok", task_id="same", retention=600)
        await server.event("ended", id="same")
        await server.terminate()
        for client in (first, second):
            with pytest.raises(PeerError, match="id_conflict"):
                await client.enqueue("other", task_id="same")
        await second.enqueue("other", task_id="same", queue="low")


async def test_a_duplicate_is_reported_before_an_id_conflict(producer: Side, worker: Side) -> None:
    async with producer.client() as first, worker.client() as second:
        await first.enqueue("ok", b"x", task_id="same", unique=600)
        with pytest.raises(PeerError, match="duplicate"):
            await second.enqueue("ok", b"x", task_id="same", unique=600)


async def test_a_replaced_task_is_complete_in_go_and_releases_its_lock_there(go: Go, ours: Ours) -> None:
    async with Client(ours.url) as client, go.server() as server:
        options: dict[str, Any] = {"unique": 600, "unique_key": "x", "on_duplicate": "replace"}
        first = await client.enqueue(Task("ok", b"one"), process_in=60, task_id="a", **options)
        second = await client.enqueue(Task("ok", b"two"), headers={"k": "v"}, **options)
        assert (first.id, second.id) == ("a", "a")
        seen = (await server.event("started", id="a")).seen
        assert (seen.id, seen.type, seen.payload, seen.headers) == ("a", "ok", b"two", {"k": "v"})
        await server.event("ended", id="a")
        await server.terminate()
        await client.enqueue(Task("ok", b"three"), unique=600, unique_key="x")


async def test_a_waiting_task_of_go_is_replaced_by_a_duplicate_of_asynqio(go: Go, ours: Ours) -> None:
    async with go.client() as first, Client(ours.url) as client, go.inspector() as inspector:
        for number, how in enumerate([{}, {"process_in": 60}, {"group": "g"}]):
            payload = b"%d" % number
            old = await first.enqueue("ok", payload, unique=600, **how)  # type: ignore[arg-type]
            new = await client.enqueue(Task("ok", payload), unique=600, on_duplicate="replace", max_retry=7)
            assert (new.id, new.state, new.max_retry) == (old.id, TaskState.PENDING, 7)
        waiting = await inspector.tasks("default", "pending")
        assert sorted((task.payload, task.max_retry) for task in waiting) == [(b"0", 7), (b"1", 7), (b"2", 7)]
        assert await inspector.groups("default") == []


async def test_a_throttle_rejects_duplicates_of_go_after_go_has_run_the_task(go: Go, ours: Ours) -> None:
    async with Client(ours.url) as client, go.client() as other, go.server() as server:
        info = await client.enqueue(Task("ok", b"x"), unique=600, unique_until="expired")
        await server.event("ended", id=info.id)
        await server.terminate()
        with pytest.raises(PeerError, match="duplicate"):
            await other.enqueue("ok", b"x", unique=600)
        with pytest.raises(DuplicateTask):
            await client.enqueue(Task("ok", b"x"), unique=600)
