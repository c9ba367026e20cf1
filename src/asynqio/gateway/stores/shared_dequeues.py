"""Callers that dequeue on the same terms share one call, whose leases are dealt out in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import NamedTuple

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.per_loop import PerLoop
from asynqio.core.lifecycle import Aborted, Lease
from asynqio.gateway.stores.hand_back import hand_back
from asynqio.gateway.stores.shared_calls import add

#: Most leases that a shared call asks for.
MOST = 1_000
#: Seconds that a cancelled caller waits until its leases are returned. After that, they are returned without it.
PATIENCE = 1.0


class Terms(NamedTuple):
    """What callers that share a call have in common: the arguments of `dequeue` except `limit`."""

    queues: tuple[str, ...]
    lease: float
    owner: str
    timed: bool


class SharedDequeues:
    """Shares calls of `dequeue` between the callers of an event loop that have equal terms.

    A single caller is sent at once. Callers that arrive during a call share the next one; those for whom no lease is
    left get none. A cancelled caller loses no task: its leases are returned.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: PerLoop[dict[Terms, _Line]] = PerLoop(dict)

    async def __call__(self, terms: Terms, limit: int) -> list[Lease]:
        """Up to `limit` leases. Raises what `Broker.dequeue` raises."""
        lines = self._lines.get()
        line = lines.get(terms)
        if line is None:
            line = _Line(self._store, terms)
            add(lines, terms, line)
        return await line.take(limit)

    async def finish(self) -> None:
        """Wait until the leases of the callers of this event loop that were cancelled so far are returned."""
        for line in list(self._lines.get().values()):
            await line.finish()


class _Line:
    """The callers of one event loop with the same terms."""

    def __init__(self, store: Store, terms: Terms) -> None:
        self._store = store
        self._terms = terms
        self._in_flight = False
        self._waiting: list[tuple[int, asyncio.Future[list[Lease]]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing is in flight."""
        return not self._in_flight and not self._tasks

    async def take(self, limit: int) -> list[Lease]:
        if self._in_flight:
            return await self._wait(limit)
        self._in_flight = True
        try:
            return await self._call(limit)
        finally:
            self._next()

    async def finish(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _call(self, limit: int) -> list[Lease]:
        queues, lease, owner, timed = self._terms
        return await self._store.dequeue(queues, limit, lease, owner, timed=timed)

    async def _wait(self, limit: int) -> list[Lease]:
        future: asyncio.Future[list[Lease]] = asyncio.get_running_loop().create_future()
        self._waiting.append((limit, future))
        try:
            return await future
        except asyncio.CancelledError:
            # Leases may have been dealt to this caller in the same turn of the event loop.
            if not future.cancelled() and future.exception() is None:
                await self._undo(future.result())
            raise

    def _next(self) -> None:
        """Send the call of the callers that wait."""
        waiting = [caller for caller in self._waiting if not caller[1].done()]
        total = count = 0
        for limit, _ in waiting:
            if count and total + limit > MOST:
                break
            total += limit
            count += 1
        callers, self._waiting = waiting[:count], waiting[count:]
        self._in_flight = bool(callers)
        if callers:
            self._spawn(self._share(callers, total))

    async def _share(self, callers: Sequence[tuple[int, asyncio.Future[list[Lease]]]], total: int) -> None:
        try:
            left = await self._call(total)
        except BaseException as error:
            for _, future in callers:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        finally:
            self._next()
        for limit, future in callers:
            if not future.done():
                share, left = left[:limit], left[limit:]
                future.set_result(share)
        await hand_back(self._store, left, Aborted())

    async def _undo(self, leases: Sequence[Lease]) -> None:
        if leases:
            await asyncio.wait([self._spawn(hand_back(self._store, leases, Aborted()))], timeout=PATIENCE)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
