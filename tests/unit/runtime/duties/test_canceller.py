"""A server receives cancellations before it fetches its first task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from asynqio import Client, Mux, Server, Task
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.memory import MemoryBroker
from asynqio.errors import BrokerUnavailable


class Unsubscribed(MemoryBroker):
    """Delivers no cancellation until `subscribed` is set, as over a slow network."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = asyncio.Event()
        self.failures = 0

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable("no subscription")
        await self.subscribed.wait()
        async for ref in super().cancellations():
            yield ref


async def test_no_task_starts_before_cancellations_are_received() -> None:
    broker = Unsubscribed()
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
        broker.subscribed.set()
        await starting
        async with asyncio.timeout(10):
            await started.wait()
        await server.shutdown()


async def test_a_failed_subscription_is_repeated() -> None:
    broker = Unsubscribed()
    broker.subscribed.set()
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
            while not cancelled.is_set():  # it subscribes again after a back-off
                await client.cancel(info)
                await asyncio.sleep(0.02)
