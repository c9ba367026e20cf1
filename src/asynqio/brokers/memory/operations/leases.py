"""Renewal of leases."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import Lease


def renew(store: MemoryStore, now: float, leases: Sequence[Lease], lease: float) -> list[bool]:
    """See Broker.renew."""
    expires_at = now + lease
    answers = []
    with store.lock:
        for held in leases:
            record = store.held(held)
            if record is not None:
                record.at = held.expires_at = expires_at
            answers.append(record is not None)
    return answers


def renew_owner(store: MemoryStore, now: float, owner: str, lease: float) -> int:
    """See Broker.renew_owner."""
    expires_at = now + lease
    renewed = 0
    with store.lock:
        for queue in store.queues.values():
            for record in queue.active.values():
                if record.owner == owner:
                    record.at = expires_at
                    renewed += 1
    return renewed
