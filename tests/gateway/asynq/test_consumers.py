"""Heartbeats of consumers, and the cancellation of their tasks."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from asynqio import Client
from asynqio.brokers.contract.broker import Store
from asynqio.core.task.message import TaskRef
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.running import RunningGateway

WHO = {"host": "box", "pid": 4242, "server_id": "0e5a"}


def heartbeat(*tasks: dict[str, Any], ttl: int = 10) -> dict[str, object]:
    """What a consumer sends every 5 seconds."""
    workers = [
        {
            **WHO,
            "task_id": task["id"],
            "task_type": task["task_type"],
            "task_payload": task["payload"],
            "queue": task["queue"],
        }
        for task in tasks
    ]
    return {
        **WHO,
        "concurrency": 4,
        "queues": {"critical": 6, "default": 3},
        "strict_priority": False,
        "status": "active",
        "active_worker_count": len(workers),
        "ttl_seconds": ttl,
        "workers": workers,
    }


async def test_a_consumer_is_a_server_until_it_leaves(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.succeed("write_server_state", heartbeat(ttl=3600))
        await client.enqueue(payload=base64.b64encode(b"big" * 1_000).decode())
        await client.enqueue()
        large, task = await client.take(), await client.take()
        await client.succeed("write_server_state", heartbeat(large, task))
        [server] = await store.servers()
        assert (server.id, server.queues, server.concurrency) == (
            "box:4242:0e5a",
            {"critical": 6, "default": 3},
            4,
        )
        assert [(worker.id, worker.payload) for worker in server.workers] == [
            (large["id"], None),
            (task["id"], b'{"to":"a@b.c"}'),
        ]
        await client.succeed("clear_server_state", WHO)
        assert await store.servers() == []
        await client.succeed("clear_server_state", WHO)


async def test_a_consumer_that_has_left_gets_no_task_until_it_registers_again(
    gateway: RunningGateway, store: Store
) -> None:
    """The Rust consumer goes on asking for tasks while it stops, and does not wait for those that it has started."""
    async with ProtocolClient(gateway.address) as client, ProtocolClient(gateway.address) as other:
        await client.succeed("write_server_state", heartbeat())
        await client.succeed("clear_server_state", {**WHO, "server_id": "another"})
        await client.enqueue()
        await client.take()
        await client.succeed("clear_server_state", WHO)
        task = await client.enqueue()
        assert await client.dequeue() is None
        assert (await other.take())["id"] == task["id"]
        await client.enqueue()
        await client.succeed("write_server_state", heartbeat())
        await client.take()


async def test_a_consumer_that_disconnects_is_no_server_any_more(
    gateway: RunningGateway, store: Store
) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.succeed("write_server_state", heartbeat())
        assert len(await store.servers()) == 1
    async with asyncio.timeout(20):
        while await store.servers():  # noqa: ASYNC110 - servers have no signal
            await asyncio.sleep(0.02)


async def test_the_cancellation_of_a_task_reaches_the_client_that_holds_it_and_no_other(
    gateway: RunningGateway, store: Store
) -> None:
    async with ProtocolClient(gateway.address) as holder, ProtocolClient(gateway.address) as other:
        await holder.succeed("subscribe_cancellation")
        await other.succeed("subscribe_cancellation")
        await holder.enqueue()
        task = await holder.take()
        await Client(store).cancel(task["id"])
        assert await holder.receive() == {"type": "cancellation", "data": {"task_id": task["id"]}}
        await holder.end("done", task)
        await other.call("ping")
        assert other.pushed == []


async def test_a_client_cancels_by_id_alone(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as holder, ProtocolClient(gateway.address) as other:
        await holder.enqueue(queue="low")
        task = await holder.take("low")
        await other.succeed("publish_cancellation", {"task_id": "unknown"})
        await other.succeed("publish_cancellation", {"task_id": task["id"]})
        assert (await holder.receive())["data"] == {"task_id": task["id"]}


async def test_a_cancellation_without_a_queue_reaches_the_holder(
    gateway: RunningGateway, store: Store
) -> None:
    async with ProtocolClient(gateway.address) as holder:
        await holder.enqueue()
        task = await holder.take()
        # As Go sends it: the id alone.
        await store.cancel([TaskRef("", task["id"])])
        assert (await holder.receive())["data"] == {"task_id": task["id"]}
