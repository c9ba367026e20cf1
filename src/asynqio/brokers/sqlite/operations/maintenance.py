"""Transitions caused by time: forward due tasks, find expired leases, sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Expired, Forwarded, Swept
from asynqio.brokers.sqlite.operations.groups import drop_index, expire_batches
from asynqio.brokers.sqlite.storage.rows import Row, change_state, delete, quarantine, readable, sound, trim
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskRef, TaskState

#: Seconds for which a cancellation stays readable. Servers read it at once, or when they reconnect to the file.
CANCELLATION_AGE = 60.0


def forward(transaction: Transaction, queues: Sequence[str], limit: int) -> Forwarded:
    """See Broker.forward."""
    now = transaction.now
    moved = 0
    next_at: list[float] = []
    for queue in queues:
        if moved < limit:
            rows = transaction.all(SQL.due_tasks, queue=queue, now=now, limit=limit - moved)
            tasks = [row for row, _ in sound(transaction, rows)]
            grouped = [row for row in tasks if row[5]]
            ready = [row for row in tasks if not row[5]]
            if grouped:
                change_state(transaction, grouped, TaskState.AGGREGATING, now)
                transaction.topics.add(signals.grouped(queue))
            if ready:
                change_state(transaction, ready, TaskState.PENDING, now)
                transaction.topics.add(signals.pending(queue))
            moved += len(tasks)
        for state in (TaskState.SCHEDULED, TaskState.RETRY):
            first = transaction.value(SQL.first_at, queue=queue, state=state)
            if first is not None:
                next_at.append(first)
    return Forwarded(moved, min(next_at, default=None))


class ExpiredLeases(NamedTuple):
    """The answer to `expired`, and the rows that could not be decoded."""

    expired: Expired
    corrupt: list[Row]


def expired_leases(transaction: Transaction, queues: Sequence[str], limit: int) -> ExpiredLeases:
    """Find expired leases. Only reads: `quarantine_expired` archives the corrupt rows."""
    now = transaction.now
    rows: list[Row] = []
    next_at: list[float] = []
    for queue in queues:
        rows += transaction.all(SQL.expired_leases, queue=queue, now=now, limit=max(0, limit))
        following = transaction.value(SQL.next_lease_expiry, queue=queue, now=now)
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
    return ExpiredLeases(Expired(leases, min(next_at, default=None)), corrupt)


def quarantine_expired(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Quarantine corrupt tasks whose lease has expired, if it is still the same lease."""
    for row in rows:
        if transaction.one(SQL.is_leased, key=row[0], token=row[5]):
            quarantine(transaction, row)


def sweep(transaction: Transaction, queues: Sequence[str], limit: int) -> Swept:
    """See Broker.sweep."""
    now = transaction.now
    deleted = 0
    next_at: list[float | None] = []
    for queue in queues:
        rows = transaction.all(SQL.expired_completed, queue=queue, now=now, limit=max(0, limit - deleted))
        delete(transaction, rows)
        transaction.ended += [TaskRef(row[1], row[2]) for row in rows]
        deleted += len(rows)
        next_at.append(transaction.value(SQL.first_at, queue=queue, state=TaskState.COMPLETED))
        expire_batches(transaction, queue)
        drop_index(transaction, queue)
        next_at.append(transaction.value(SQL.next_batch_expiry, queue=queue))
        trim(transaction, queue, now)
        transaction.run(SQL.purge_locks, queue=queue, now=now)
    transaction.run(SQL.purge_cancellations, old=now - CANCELLATION_AGE)
    return Swept(deleted, min((at for at in next_at if at is not None), default=None))
