"""Records of attempts."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.attempts.record import AttemptRecord, running_record
from asynqio.core.task.message import TaskRef, TaskState


def attempts(store: MemoryStore, now: float, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
    """See Broker.attempts."""
    with store.lock:
        return [_attempts(store, now, ref) for ref in refs]


def _attempts(store: MemoryStore, now: float, ref: TaskRef) -> list[AttemptRecord]:
    _, record = store.find(ref, now)
    if record is None:
        return []
    if record.state is not TaskState.ACTIVE:
        return record.attempts()
    return [*record.attempts(), running_record(record.live, record.owner, record.next_number)]
