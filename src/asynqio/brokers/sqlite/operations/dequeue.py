"""Dequeue: lease pending tasks, and return leases that reached no caller."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.sqlite.operations.settle import settle
from asynqio.brokers.sqlite.storage.rows import sound, unlock
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique_locks import freed_by


def dequeue(
    transaction: Transaction, queues: Sequence[str], limit: int, lease: float, owner: str
) -> list[Lease]:
    """See Broker.dequeue."""
    expires_at = transaction.now + lease
    leases: list[Lease] = []
    for queue in queues:
        # Repeated after a quarantine: each quarantined task leaves room for the next pending one.
        while (wanted := limit - len(leases)) > 0:
            rows = transaction.all(SQL.next_pending, queue=queue, limit=wanted)
            tasks = list(sound(transaction, rows))
            if tasks:
                [token] = transaction.numbers(1)
                leased = transaction.run(
                    SQL.lease_pending,
                    queue=queue,
                    last=tasks[-1][0][5],
                    expires_at=expires_at,
                    token=token,
                    owner=owner,
                ).rowcount
                transaction.run(SQL.tally_pending, queue=queue, count=-leased)
                for row, task in tasks:
                    if row[3] and freed_by(task, TaskState.ACTIVE):
                        unlock(transaction, queue, row[3], row[2])
                leases += [Lease(task, expires_at, (row[0], token), row[6]) for row, task in tasks]
                transaction.changed += [task for _, task in tasks]
            if len(tasks) == len(rows):
                break
    return leases


def return_leases(transaction: Transaction, leases: Sequence[Lease]) -> None:
    """Make leased tasks pending again, in their old order at the front: their caller was cancelled.

    Otherwise they would stay active until their leases expire, and that counts as a failure.
    """
    settle(transaction, [Settlement(lease, TaskState.PENDING, lease.message) for lease in reversed(leases)])
