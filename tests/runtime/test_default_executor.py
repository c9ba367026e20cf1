"""Nothing of asynqio waits for the default executor of the event loop, which user code can fill."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

from asynqio import App, Scheduler, Task
from asynqio.blocking import run_blocking
from tests.brokers.redis.support.servers import RedisServer
from tests.runtime.waiting import within

#: More than the default executor has threads.
MANY = 64


@pytest.fixture
async def full() -> AsyncIterator[None]:
    """The default executor is full during the test."""
    release = threading.Event()
    loop = asyncio.get_running_loop()
    calls = [loop.run_in_executor(None, release.wait) for _ in range(MANY)]
    yield
    release.set()
    await asyncio.gather(*calls)


@pytest.mark.usefixtures("full")
async def test_a_server_starts_works_and_stops(url: str) -> None:
    app = App(url.replace("127.0.0.1", "localhost"), retention=60)

    @app.task("thread")
    def thread() -> str:
        return "from a thread"

    async with asyncio.timeout(10), app:
        async with app.running():
            handle = await thread.enqueue()
            assert await within(handle.result()) == "from a thread"
        async with Scheduler(app.broker, random=Random(0)) as scheduler:
            await scheduler.register("@every 1h", Task.json("thread", {}))
        await app.inspector.doctor()


@pytest.mark.usefixtures("full")
async def test_a_lost_connection_is_replaced(redis_server: RedisServer) -> None:
    app = App(redis_server.url.replace("127.0.0.1", "localhost"), retention=60)

    @app.task("work")
    async def work() -> int:
        return 1

    async with app, app.running():
        await run_blocking(redis_server.cli, "CLIENT", "KILL", "TYPE", "normal")
        started = time.monotonic()
        handle = await work.enqueue()
        assert await within(handle.result()) == 1
        assert time.monotonic() - started < 3


async def test_a_blocking_call_returns_raises_and_can_be_left() -> None:
    assert await run_blocking(int, "12", base=8) == 10
    with pytest.raises(socket.gaierror):
        await run_blocking(socket.getaddrinfo, "no-such-host.invalid", 1)
    release, ended = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        release.wait(10)
        ended.release()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_blocking(wait)
    release.set()
    await within(run_blocking(ended.acquire))
