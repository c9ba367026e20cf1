"""A store whose concurrent callers share calls: many connections, few round trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskInfo, TaskRef
from asynqio.core.task.task import Entry
from asynqio.gateway.stores.forwarding import ForwardingStore
from asynqio.gateway.stores.shared_calls import SMALL, SharedCalls
from asynqio.gateway.stores.shared_dequeues import SharedDequeues, Terms

#: Most bytes of payload of a call of `enqueue` that shares. With MOST callers, that is one script call of Redis.
SMALL_PAYLOADS = 20_000


class CoalescingStore(ForwardingStore):
    """Passes everything on to `store`. Concurrent calls of `enqueue`, `dequeue`, `settle`, `renew` and `find` from
    one event loop share calls of the store, per queue.

    The callers are strangers to each other: an item that the store refuses raises only in the call that it came from,
    and a queue that answers slowly delays only callers of that queue. A single caller is sent at once, and so is a
    call with many items, or with items of several queues.
    """

    def __init__(self, store: Store, notice: Callable[[str], object] = str) -> None:
        """`notice` is called with the queue of each entry that was enqueued."""
        super().__init__(store)
        self._notice = notice
        self._enqueue = SharedCalls[str, Entry, Admission | Replaced](
            lambda _, entries: store.enqueue(entries), self._is_remote
        )
        self._settle = SharedCalls[str, Settlement, bool](
            lambda _, settlements: store.settle(settlements), self._is_remote
        )
        self._renew = SharedCalls[tuple[str, float], Lease, bool](
            lambda terms, leases: store.renew(leases, terms[1])
        )
        self._find = SharedCalls[str, TaskRef, TaskInfo | None](lambda _, refs: store.find(refs))
        self._dequeue = SharedDequeues(store)

    def _is_remote(self) -> bool:
        return self._store.round_trip > 0

    def clone(self) -> CoalescingStore:
        return CoalescingStore(self._store.clone(), self._notice)

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._dequeue.finish()
        finally:
            await super().__aexit__(*exc)

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        queue = _only([entry.message.queue for entry in entries])
        if queue is None or sum(len(entry.message.payload or b"") for entry in entries) > SMALL_PAYLOADS:
            answers = await self._store.enqueue(entries)
        else:
            answers = await self._enqueue(queue, entries)
        for name in {entry.message.queue for entry in entries} if queue is None else (queue,):
            self._notice(name)
        return answers

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        return await self._dequeue(Terms(tuple(queues), lease, owner, timed), limit)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        queue = _only([settlement.lease.message.queue for settlement in settlements])
        if queue is None:
            return await self._store.settle(settlements)
        return await self._settle(queue, settlements)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        queue = _only([held.message.queue for held in leases])
        if queue is None:
            return await self._store.renew(leases, lease)
        return await self._renew((queue, lease), leases)

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        queue = _only([ref.queue for ref in refs])
        if queue is None:
            return await self._store.find(refs)
        return await self._find(queue, refs)


def _only(queues: Sequence[str]) -> str | None:
    """The queue of all items of a call that shares; None if it does not."""
    if not 0 < len(queues) <= SMALL:
        return None
    first = queues[0]
    return first if len(queues) == 1 or queues.count(first) == len(queues) else None
