"""Dequeue: lease pending tasks."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import Lease


def dequeue(
    store: MemoryStore, now: float, queues: Sequence[str], limit: int, lease: float, owner: str
) -> list[Lease]:
    """See Broker.dequeue."""
    expires_at = now + lease
    leases: list[Lease] = []
    with store.lock:
        # One token for the whole batch: a task cannot occur in it twice.
        store.tokens += 1
        for name in queues:
            queue = store.queues.get(name)
            if queue is None or queue.paused:
                continue
            for _ in range(min(limit - len(leases), len(queue.pending))):
                leases.append(queue.lease_next(store.tokens, owner, expires_at))
            if len(leases) >= limit:
                break
    store.signals.publish(store.changed(lease.message.ref for lease in leases))
    return leases
