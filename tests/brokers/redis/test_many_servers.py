"""Fifty worker servers on one queue: how many calls a task costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from asynqio import Client, Mux, Server, Task
from asynqio.brokers import open_broker
from tests.brokers.redis.support.servers import RedisServer
from tests.runtime.waiting import within

SERVERS = 50


@contextlib.asynccontextmanager
async def servers(url: str, handler: Callable[[Task], Awaitable[None]]) -> AsyncIterator[None]:
    """Fifty servers, each with its own connections."""
    mux = Mux()
    mux.handle("work")(handler)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(SERVERS):
            server = Server(url, concurrency=10, lease_keeper=False, retry=lambda *_: 1.0)
            await stack.enter_async_context(server.running(mux))
        yield


def calls(server: RedisServer, command: str = "evalsha") -> int:
    stats = server._client.info("commandstats")
    assert isinstance(stats, dict)
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


@pytest.mark.parametrize(("delay", "tasks", "limit"), [(0.0, 100, 10), (1.0, 8, 120)])
async def test_few_of_many_servers_ask_for_a_task(
    redis_server: RedisServer, delay: float, tasks: int, limit: int
) -> None:
    """Each of fifty servers that asks at each signal makes 50 to 100 calls per task, 280 for a delayed one."""
    done = asyncio.Semaphore(0)

    async def work(_: Task) -> None:
        done.release()

    async def run(client: Client) -> None:
        await client.enqueue(Task("work"), process_in=delay)
        await within(done.acquire())

    async with (
        open_broker(redis_server.url) as broker,
        Client(broker) as client,
        servers(redis_server.url, work),
    ):
        for _ in range(tasks // 2):  # the servers learn of each other
            await run(client)
        before = await asyncio.to_thread(calls, redis_server)
        for _ in range(tasks):
            await run(client)
        count = (await asyncio.to_thread(calls, redis_server) - before) / tasks
    print(f"{count:.1f} script calls per task")
    # At least three: enqueue, dequeue, settle. A delayed task is forwarded too, and takes up to two seconds, in which
    # fifty servers beat and sweep.
    assert count <= limit
