"""A server hears calls to cancel before it takes its first task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asynqio import Client, Mux, Server, Task
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.memory import MemoryBroker
from asynqio.errors import BrokerUnavailable


class Deaf(MemoryBroker):
    """Hears nothing until `ears` are open, as over a network that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.ears = asyncio.Event()
        self.failures = 0

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable("no ears")
        await self.ears.wait()
        async for ref in super().cancellations():
            yield ref


async def test_no_task_starts_before_calls_to_cancel_are_heard() -> None:
    broker = Deaf()
    mux = Mux()
    started = asyncio.Event()

    @mux.handle("work")
    async def work(task: Task) -> None:
        started.set()

    async with broker, Client(broker) as client:
        await client.enqueue(Task("work"))
        server = Server(broker)
        starting = asyncio.create_task(server.start(mux))
        await asyncio.wait([starting], timeout=0.2)
        assert not starting.done()
        assert not started.is_set()
        broker.ears.set()
        await starting
        async with asyncio.timeout(10):
            await started.wait()
        await server.shutdown()


async def test_a_listener_that_fails_at_first_is_started_again() -> None:
    broker = Deaf()
    broker.ears.set()
    broker.failures = 1
    mux = Mux()
    running, cancelled = asyncio.Event(), asyncio.Event()

    @mux.handle("long")
    async def long(task: Task) -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with broker, Client(broker) as client, Server(broker).running(mux):
        info = await client.enqueue(Task("long"))
        async with asyncio.timeout(10):
            await running.wait()
            while not cancelled.is_set():  # it listens again after a back-off
                await client.cancel(info)
                await asyncio.sleep(0.02)
