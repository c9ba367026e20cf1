"""Enqueueing from threads: one step under the lock of the store."""

from __future__ import annotations

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.memory.operations.enqueue import enqueue
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.clock import Clock
from asynqio.core.task.task import Entry


class MemoryProducer:
    """A `Producer` of a memory broker."""

    def __init__(self, store: MemoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def enqueue(self, entry: Entry) -> Admission | Replaced:
        """See Producer.enqueue."""
        [answer] = enqueue(self._store, self._clock.now(), [entry])
        return answer

    def close(self) -> None:
        """See Producer.close."""
