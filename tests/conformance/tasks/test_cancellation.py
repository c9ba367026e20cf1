"""Cancellation of running tasks: every listener receives it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Cancellation
from asynqio.core.task.message import TaskRef, TaskState
from tests.builders import entry
from tests.conformance.helpers import TIMEOUT, in_other_thread, put, snapshot, state_of, take

ONE = TaskRef("default", "a")


class Listener:
    """A listener; call `ready` before any cancellation that it must receive."""

    def __init__(self, broker: Store) -> None:
        self.broker = broker
        self.received: asyncio.Queue[TaskRef] = asyncio.Queue()
        self.all: list[TaskRef] = []
        self.calls: list[Cancellation] = []
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with aclosing(self.broker.cancellations()) as refs:  # type: ignore[type-var]
            async for call in refs:
                self.calls.append(call)
                self.all.append(call.ref)
                self.received.put_nowait(call.ref)

    async def ready(self) -> None:
        """Wait until it listens: nothing says when the first `anext` has started, so cancel until one arrives."""
        probe = TaskRef("probe", "probe")
        while self.received.empty():
            await self.broker.cancel([probe])
            await asyncio.wait([self.task], timeout=0.01)
        # The cancellations of the attempts arrive first; a last one marks their end.
        await self.broker.cancel([TaskRef("probe", "last")])
        while await self.next() != TaskRef("probe", "last"):
            pass

    async def next(self) -> TaskRef:
        async with asyncio.timeout(TIMEOUT):
            return await self.received.get()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_cancellations_arrive_in_order_with_queue_and_id(broker: Store) -> None:
    listener = Listener(broker)
    await listener.ready()
    refs = [ONE, TaskRef("other {x}", "a"), TaskRef("default", "ü")]
    await broker.cancel(refs[:2])
    await broker.cancel(refs[2:])
    assert [await listener.next() for _ in refs] == refs
    await listener.stop()


async def test_a_cancellation_says_whether_to_archive(broker: Store) -> None:
    listener = Listener(broker)
    await listener.ready()
    other = TaskRef("default", "b")
    await broker.cancel([ONE], archive=True)
    await broker.cancel([other])
    assert [await listener.next(), await listener.next()] == [ONE, other]
    assert listener.calls[-2:] == [Cancellation(ONE, archive=True), Cancellation(other)]
    await listener.stop()


async def test_every_listener_receives_every_cancellation(broker: Store) -> None:
    listeners = [Listener(broker) for _ in range(3)]
    for listener in listeners:
        await listener.ready()
    await broker.cancel([ONE])
    for listener in listeners:
        while (ref := await listener.next()) != ONE:
            assert ref.queue == "probe"
        await listener.stop()


async def test_a_cancellation_crosses_threads(broker: Store) -> None:
    listener = Listener(broker)
    await listener.ready()
    await in_other_thread(broker, lambda clone: clone.cancel([ONE]))
    assert await listener.next() == ONE
    await listener.stop()


async def test_earlier_cancellations_are_not_received(broker: Store) -> None:
    await broker.cancel([ONE])
    listener = Listener(broker)
    await listener.ready()
    later = TaskRef("default", "later")
    await broker.cancel([later])
    assert await listener.next() == later
    assert ONE not in listener.all
    await listener.stop()


async def test_a_cancellation_changes_no_task(broker: Store) -> None:
    await put(broker, entry("a"))
    await take(broker)
    before = await snapshot(broker)
    await broker.cancel([ONE, TaskRef("ghost", "ghost")])
    await broker.cancel([])
    assert await snapshot(broker) == before
    assert await state_of(broker, "a") is TaskState.ACTIVE


async def test_rule_12_waiting_for_cancellations_can_be_cancelled(broker: Store) -> None:
    listener = Listener(broker)
    await listener.ready()
    await listener.stop()
    assert listener.task.cancelled()
