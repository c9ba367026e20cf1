"""About how much of the file a queue takes."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.sqlite.admin import stats as look
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState

#: Bytes of a row and of its places in the indexes, beside what is measured.
ROW = 250


def memory_usage(transaction: Transaction, queues: Sequence[str]) -> list[int]:
    """See Inspection.memory_usage."""
    found = []
    for stats in look.stats(transaction, queues):
        total = 0.0
        for state in TaskState:
            count = getattr(stats, state.value)
            if count:
                each = transaction.value(SQL.mean_size, queue=stats.queue, state=state.value, limit=SAMPLE)
                total += count * (ROW + (each or 0.0))
        found.append(int(total))
    return found
