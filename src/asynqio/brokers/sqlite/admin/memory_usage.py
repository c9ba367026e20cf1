"""Estimate the bytes that a queue takes in the file."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.sqlite.admin.stats import queue_stats
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState

#: Bytes of a row and its index entries, beside the measured columns.
ROW = 250


def memory_usage(transaction: Transaction, queues: Sequence[str]) -> list[int]:
    """See Inspection.memory_usage."""
    found = []
    for stats in queue_stats(transaction, queues):
        total = 0.0
        for state in TaskState:
            count = getattr(stats, state.value)
            if count:
                each = transaction.value(SQL.mean_size, queue=stats.queue, state=state.value, limit=SAMPLE)
                total += count * (ROW + (each or 0.0))
        found.append(int(total))
    return found
