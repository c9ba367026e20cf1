"""The gateway keeps the leases of the tasks that its clients hold, and returns the tasks of clients that leave."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asynqio import TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.signals import pending
from asynqio.core.task.message import TaskRef
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.conftest import StartGateway
from tests.gateway.running import RunningGateway

#: A short lease, in seconds.
LEASE = 2.0


async def state(store: Store, task: dict[str, Any]) -> Any:
    [info] = await store.find([TaskRef(task["queue"], task["id"])])
    return info


async def until(store: Store, task: dict[str, Any], wanted: TaskState) -> Any:
    """Wait for the task to be in a state."""
    with store.watch([pending(task["queue"])]) as watch:
        async with asyncio.timeout(30):
            while (info := await state(store, task)).state is not wanted:
                await watch.wait(0.1)
    return info


async def test_a_connected_client_keeps_its_task_beyond_the_lease(
    start_gateway: StartGateway, store: Store
) -> None:
    async with ProtocolClient((await start_gateway(lease=LEASE)).address) as client:
        await client.enqueue()
        task = await client.take()
        end = time.monotonic() + 2 * LEASE
        while time.monotonic() < end:
            assert (await client.call("ping")) == {"type": "pong"}
            assert await client.dequeue() is None
            await asyncio.sleep(0.2)
        await client.end("done", task)
    assert await state(store, task) is None


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_the_tasks_of_a_client_that_leaves_are_pending_at_once_in_their_order(
    gateway: RunningGateway, store: Store, code: int | None
) -> None:
    async with ProtocolClient(gateway.address) as client:
        tasks = []
        for _ in range(3):
            await client.enqueue()
        for _ in range(3):
            tasks.append(await client.take())
        if code is None:
            client.socket.protocol.send_close()
            client.socket.send_data()
        else:
            await client.socket.close(code)
    for task in tasks:
        info = await until(store, task, TaskState.PENDING)
        assert (info.retried, info.crashes) == (0, 0)
    async with ProtocolClient(gateway.address) as client:
        assert [(await client.take())["id"] for _ in range(3)] == [task["id"] for task in tasks]


async def test_the_task_of_a_client_that_vanishes_runs_again_after_its_lease_and_counts_as_a_crash(
    start_gateway: StartGateway, store: Store
) -> None:
    address = (await start_gateway(lease=LEASE)).address
    async with ProtocolClient(address) as client:
        await client.enqueue()
        task = await client.take()
        client.socket.transport.abort()
    info = await until(store, task, TaskState.PENDING)
    assert info.crashes == 1
    async with ProtocolClient(address) as client:
        assert (await client.take())["id"] == task["id"]


async def test_a_gateway_that_stops_returns_the_tasks_and_says_so(
    start_gateway: StartGateway, store: Store
) -> None:
    first, second = await start_gateway(), await start_gateway()
    async with ProtocolClient(first.address) as client:
        await client.enqueue()
        task = await client.take()
        await asyncio.to_thread(first.stop)
        await client.socket.wait_closed()
        assert client.socket.close_code == 1012
    info = await until(store, task, TaskState.PENDING)
    assert (info.retried, info.crashes) == (0, 0)
    async with ProtocolClient(second.address) as client:
        assert (await client.take())["id"] == task["id"]
