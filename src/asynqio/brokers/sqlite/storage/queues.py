"""Rows of queues."""

from __future__ import annotations

from asynqio.brokers.sqlite.storage.rows import Row
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.errors import QueueNotFound


def existing(transaction: Transaction, queue: str) -> Row:
    """Pause and totals of a queue: paused, processed, failed, evicted, quarantined. Raises QueueNotFound."""
    row: Row | None = transaction.one(SQL.queue, queue=queue)
    if row is None:
        raise QueueNotFound(queue)
    return row
