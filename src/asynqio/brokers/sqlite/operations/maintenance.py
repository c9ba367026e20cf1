"""What time does to tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Expired, Forwarded, Swept
from asynqio.brokers.sqlite.operations.groups import dissolve
from asynqio.brokers.sqlite.storage.rows import Row, forget, place, quarantine, readable, sound, trim
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskRef, TaskState

#: Seconds that a cancellation can be read. Servers read it at once, or after a moment without the file.
CANCEL_AGE = 60.0


def forward(transaction: Transaction, queues: Sequence[str], limit: int) -> Forwarded:
    now = transaction.now
    moved = 0
    next_at: list[float] = []
    for queue in queues:
        if moved < limit:
            rows = transaction.all(SQL.due, queue=queue, now=now, limit=limit - moved)
            tasks = [row for row, _ in sound(transaction, rows)]
            grouped = [row for row in tasks if row[5]]
            ready = [row for row in tasks if not row[5]]
            if grouped:
                place(transaction, grouped, TaskState.AGGREGATING, now)
                transaction.topics.add(signals.grouped(queue))
            if ready:
                place(transaction, ready, TaskState.PENDING, now)
                transaction.topics.add(signals.pending(queue))
            moved += len(tasks)
        for state in (TaskState.SCHEDULED, TaskState.RETRY):
            first = transaction.value(SQL.first_at, queue=queue, state=state)
            if first is not None:
                next_at.append(first)
    return Forwarded(moved, min(next_at, default=None))


class Lapsed(NamedTuple):
    """What `expired` answers, and the rows that it could not read."""

    expired: Expired
    corrupt: list[Row]


def lapsed(transaction: Transaction, queues: Sequence[str], limit: int) -> Lapsed:
    now = transaction.now
    rows: list[Row] = []
    next_at: list[float] = []
    for queue in queues:
        rows += transaction.all(SQL.lapsed, queue=queue, now=now, limit=max(0, limit))
        following = transaction.value(SQL.next_lapse, queue=queue, now=now)
        if following is not None:
            next_at.append(following)
    rows.sort(key=lambda row: row[6])
    leases: list[Lease] = []
    corrupt: list[Row] = []
    for row in rows[:limit]:
        message = readable(row)
        if message is None:
            corrupt.append(row)
        else:
            leases.append(Lease(message, row[6], (row[0], row[5])))
    return Lapsed(Expired(leases, min(next_at, default=None)), corrupt)


def quarantine_lapsed(transaction: Transaction, rows: Sequence[Row]) -> None:
    for row in rows:
        if transaction.one(SQL.still_leased, key=row[0], token=row[5]):
            quarantine(transaction, row)


def sweep(transaction: Transaction, queues: Sequence[str], limit: int) -> Swept:
    now = transaction.now
    deleted = 0
    next_at: list[float | None] = []
    for queue in queues:
        rows = transaction.all(SQL.outlived, queue=queue, now=now, limit=max(0, limit - deleted))
        forget(transaction, rows)
        transaction.ended += [TaskRef(row[1], row[2]) for row in rows]
        deleted += len(rows)
        next_at.append(transaction.value(SQL.first_at, queue=queue, state=TaskState.COMPLETED))
        for (batch,) in transaction.all(SQL.stale_batches, queue=queue, now=now):
            dissolve(transaction, batch)
            transaction.topics.add(signals.grouped(queue))
        next_at.append(transaction.value(SQL.next_stale, queue=queue))
        trim(transaction, queue, now)
        transaction.run(SQL.purge_locks, queue=queue, now=now)
    transaction.run(SQL.purge_cancels, old=now - CANCEL_AGE)
    return Swept(deleted, min((at for at in next_at if at is not None), default=None))
