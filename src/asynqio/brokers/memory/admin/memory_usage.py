"""Estimate the bytes that a queue takes in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.record import Record
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.task.message import TaskState

#: Bytes of a stored task beside its payload, its result and the records of its attempts.
RECORD = 1_000


def memory_usage(store: MemoryStore, queues: Sequence[str]) -> list[int]:
    """See Inspection.memory_usage."""
    with store.lock:
        return [_memory_usage(store.existing(name)) for name in queues]


def _memory_usage(queue: Queue) -> int:
    if not queue.records:
        return 0
    sample = list(islice(queue.records.values(), SAMPLE * len(TaskState)))
    return sum(map(_size, sample)) * len(queue.records) // len(sample)


def _size(record: Record) -> int:
    kept = (record.message.payload, record.result, record.progress, *record.runs)
    return RECORD + sum(len(value) for value in kept if value is not None)
