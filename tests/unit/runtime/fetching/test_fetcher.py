"""What a server requests early from a store that is far away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from asynqio import Client, FixedRetry, Mux, Server, Task, TaskState
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.memory import MemoryBroker
from asynqio.core.lifecycle import Lease
from tests.builders import entry
from tests.runtime.waiting import within


class Far(MemoryBroker):
    """Fetches at once, and answers on request."""

    round_trip = 0.002

    def __init__(self) -> None:
        super().__init__()
        #: The answers that are under way, oldest first: how many tasks were asked for, and what lets them come.
        self.under_way: list[tuple[int, asyncio.Event]] = []
        self.change = asyncio.Condition()
        self.near = False

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        leases = await super().dequeue(queues, limit, lease, owner, timed=timed)
        if self.near:
            return leases
        come = asyncio.Event()
        async with self.change:
            self.under_way.append((limit, come))
            self.change.notify_all()
        await come.wait()
        return leases

    async def deliver(self) -> None:
        """Deliver the oldest answer."""
        await self.until(lambda: len(self.under_way) > 0)
        self.under_way.pop(0)[1].set()

    def come_near(self) -> None:
        """Deliver all answers at once from now on."""
        self.near = True
        for _, come in self.under_way:
            come.set()
        self.under_way.clear()

    async def until(self, reached: Callable[[], bool]) -> None:
        async with self.change:
            await within(self.change.wait_for(reached))


async def until_idle() -> None:
    """Let everything continue that can without the store."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_next_part_is_requested_early_and_never_more_than_the_slots() -> None:
    broker, mux, go_on = Far(), Mux(), asyncio.Event()
    running = 0

    @mux.handle("work")
    async def work(task: Task) -> None:
        nonlocal running
        running += 1
        await go_on.wait()

    def asked_for() -> list[int]:
        return [limit for limit, _ in broker.under_way]

    async with broker, Client(broker) as client:
        await client.enqueue_many([Task("work") for _ in range(20)])
        async with Server(broker, concurrency=8).running(mux):
            # Nobody knows yet whether there is more than this.
            await broker.until(lambda: asked_for() == [2])
            await until_idle()
            assert asked_for() == [2]
            # There is: three calls at once, each for a quarter of the slots.
            await broker.deliver()
            await broker.until(lambda: asked_for() == [2, 2, 2])
            for here in (2, 4, 6, 8):
                await until_idle()
                assert running == here
                assert here + sum(asked_for()) == 8  # never more than can start
                if here < 8:
                    await broker.deliver()
            # What ends makes room for the next.
            go_on.set()
            await broker.until(lambda: asked_for() == [2, 2, 2])
            broker.come_near()
            while running < 20:
                await until_idle()


async def test_tasks_that_arrive_beside_a_suspect_are_returned() -> None:
    broker, mux, go_on, ran = Far(), Mux(), asyncio.Event(), list[str]()

    @mux.handle("work")
    async def work(task: Task) -> None:
        ran.append("innocent")

    @mux.handle("suspect")
    async def suspect(task: Task) -> None:
        ran.append("suspect")
        await go_on.wait()

    async with broker:
        await broker.enqueue([entry(type="work") for _ in range(2)])
        await broker.enqueue([entry(type="suspect", crashes=2)])
        innocents = [entry(type="work") for _ in range(5)]
        await broker.enqueue(innocents)
        async with Server(broker, concurrency=8).running(mux):
            await broker.deliver()
            await broker.until(lambda: len(broker.under_way) == 3)
            for _ in range(3):
                await broker.deliver()
                await until_idle()
            # The suspect came with one other; the rest came later and waits as before.
            assert sorted(ran) == ["innocent", "innocent", "innocent", "suspect"]
            waiting = await broker.tasks(Where("default", TaskState.PENDING), Page(10))
            assert {info.id for info in waiting} == {entry.message.id for entry in innocents[1:]}
            assert all(info.crashes == 0 for info in waiting)
            go_on.set()
            broker.come_near()
            while len(ran) < 8:
                await until_idle()


async def test_a_task_that_is_cancelled_in_flight_does_not_start() -> None:
    broker, mux, ran = Far(), Mux(), list[str]()

    @mux.handle("work")
    async def work(task: Task) -> None:
        ran.append(task.type)

    async with broker, Client(broker) as client:
        info = await client.enqueue(Task("work"))
        async with Server(broker, concurrency=1, retry=FixedRetry(60.0)).running(mux):
            await broker.until(lambda: len(broker.under_way) == 1)
            assert (await client.find(info)).state is TaskState.ACTIVE
            await client.cancel(info)
            await until_idle()
            await broker.deliver()
            await until_idle()
            found = await client.find(info)
            assert found.state is TaskState.RETRY
            assert found.last_error == "cancelled while it was running"
            assert ran == []
            broker.come_near()


async def test_a_task_that_was_cancelled_elsewhere_runs_when_it_arrives_later() -> None:
    """A cancellation applies to attempts that run when it is sent."""
    broker, mux, ran = Far(), Mux(), list[str]()

    @mux.handle("work")
    async def work(task: Task) -> None:
        ran.append(task.type)

    async with broker, Client(broker) as client, Server(broker, concurrency=1).running(mux):
        await broker.deliver()  # nothing
        await until_idle()
        info = await client.enqueue(Task("work"), process_in=3600)
        await broker.cancel([info.ref])
        await until_idle()
        await client.delete(info)
        await client.enqueue(Task("work"), task_id=info.id)
        while not ran:
            await broker.deliver()
            await until_idle()
        broker.come_near()
