"""A memory broker whose calls are counted, and wait while its gate is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.clock import Clock
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskInfo, TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerRefused
from tests.builders import aborted


class GatedBroker(MemoryBroker):
    """Counts the items of each call. A call waits while `closed` contains its queue; the answer of `dequeue`, while
    it contains "answer <limit>"."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.calls: dict[str, list[int]] = {}
        self.closed: set[str] = set()
        #: The queue whose calls are refused, and whether leases can be settled.
        self.refused = ""
        self.settles = True
        self._opened = asyncio.Condition()

    async def open_gate(self, *names: str) -> None:
        """Let the calls through that wait for these names; all calls without names."""
        async with self._opened:
            self.closed -= set(names) or self.closed
            self._opened.notify_all()

    async def _pass(self, name: str, queues: Sequence[str], count: int) -> None:
        self.calls.setdefault(name, []).append(count)
        await asyncio.sleep(0)  # as over a network, no call is answered in the same turn
        await self._wait(queues)
        if self.refused in queues:
            raise BrokerRefused(f"queue {self.refused!r} is refused")

    async def _wait(self, queues: Sequence[str]) -> None:
        async with self._opened:
            await self._opened.wait_for(lambda: self.closed.isdisjoint(queues))

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        await self._pass("enqueue", [entry.message.queue for entry in entries], len(entries))
        return await super().enqueue(entries)

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        await self._pass("dequeue", queues, limit)
        leases = await super().dequeue(queues, limit, lease, owner)
        try:
            await self._wait([f"answer {limit}"])
        except asyncio.CancelledError:
            # As the brokers do: a cancelled call loses no task.
            await super().settle([aborted(held, self.clock.now()) for held in reversed(leases)])
            raise
        return leases

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        await self._pass("settle", [one.lease.message.queue for one in settlements], len(settlements))
        if not self.settles:
            raise BrokerRefused("no settlements now")
        return await super().settle(settlements)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        await self._pass("renew", [held.message.queue for held in leases], len(leases))
        return await super().renew(leases, lease)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        await self._pass("find", [ref.queue for ref in refs], len(refs))
        return await super().find(refs)


async def steps(count: int = 5) -> None:
    """Let other tasks of the event loop run until they wait for something."""
    for _ in range(count):
        await asyncio.sleep(0)
