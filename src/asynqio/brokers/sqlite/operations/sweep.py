"""Sweep: delete what has expired and what exceeds the archive, in short transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from asynqio.brokers.contract.results import Swept
from asynqio.brokers.sqlite.operations.groups import drop_index, expire_batches
from asynqio.brokers.sqlite.pace import STEP, Pace
from asynqio.brokers.sqlite.session import Session
from asynqio.brokers.sqlite.storage.rows import delete, trim
from asynqio.brokers.sqlite.storage.statements import SQL, json_list
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskRef

#: Seconds for which a cancellation stays readable. Servers read it at once, or when they reconnect to the file.
CANCELLATION_AGE = 60.0
#: Rows of each other kind that one sweep deletes at most, beside expired tasks: a surplus takes several sweeps, and
#: other callers notice none of them.
OTHER_ROWS = 10_000
#: Batches of each queue that one sweep returns to their groups at most, each in its own transaction.
BATCHES = 20


async def sweep(session: Session, queues: Sequence[str], limit: int) -> Swept:
    """See Broker.sweep. Writes only if there is something to do."""
    due, next_at = await session.read(partial(find_due, queues=queues))
    if not due.any():
        return Swept(0, next_at)
    pace = Pace(session)
    deleted = await _in_steps(pace, delete_completed, due.completed, limit)
    await _in_steps(pace, evict, due.archives, OTHER_ROWS)
    await _release_batches(pace, due.batches)
    for queue in due.indexes:
        await pace.write(drop_index, queue)
    await _in_steps(pace, purge_locks, due.locks, OTHER_ROWS)
    if due.cancellations:
        await pace.write(purge_cancellations)
    _, next_at = await session.read(partial(find_due, queues=queues))
    return Swept(deleted, next_at)


async def _in_steps(
    pace: Pace, step: Callable[[Transaction, str, int], int], queues: Sequence[str], limit: int
) -> int:
    """Run a step for each queue until it has nothing left to do, or `limit` rows are done; returns their number."""
    done = 0
    for queue in queues:
        while (size := min(STEP, limit - done)) > 0:
            count = await pace.write(step, queue, size)
            done += count
            if count < size:
                break
    return done


async def _release_batches(pace: Pace, queues: Sequence[str]) -> None:
    for queue in queues:
        for _ in range(BATCHES):
            if not await pace.write(expire_batches, queue, 1):
                break


class Due(NamedTuple):
    """What a sweep has to do: the queues with work of each kind."""

    completed: list[str]
    archives: list[str]
    batches: list[str]
    indexes: list[str]
    locks: list[str]
    cancellations: bool

    def any(self) -> bool:
        return any(self)


def find_due(transaction: Transaction, queues: Sequence[str]) -> tuple[Due, float | None]:
    """Find work, and when the next work is due. Only reads; the cost does not grow with the number of tasks."""
    now = transaction.now
    old = now - transaction.archive_age
    next_at: list[float] = []
    oldest = transaction.value(SQL.oldest_cancellation)
    due = Due([], [], [], [], [], oldest is not None and oldest <= now - CANCELLATION_AGE)
    for queue, completed, archived, count, batch, unused, lock in transaction.all(
        SQL.sweep_due, queues=json_list(queues), now=now
    ):
        for at, found in ((completed, due.completed), (batch, due.batches)):
            if at is not None:
                next_at.append(at)
                if at <= now:
                    found.append(queue)
        if count > transaction.archive_limit or (archived is not None and archived <= old):
            due.archives.append(queue)
            next_at.append(now)
        if unused:
            due.indexes.append(queue)
        if lock is not None and lock <= now:
            due.locks.append(queue)
    return due, min(next_at, default=None)


def delete_completed(transaction: Transaction, queue: str, limit: int) -> int:
    """Delete completed tasks whose retention has expired."""
    rows = transaction.all(SQL.expired_completed, queue=queue, now=transaction.now, limit=limit)
    delete(transaction, rows)
    transaction.ended += [TaskRef(row[1], row[2]) for row in rows]
    return len(rows)


def evict(transaction: Transaction, queue: str, limit: int) -> int:
    """Evict what exceeds the limits of the archive."""
    return trim(transaction, queue, transaction.now, limit)


def purge_locks(transaction: Transaction, queue: str, limit: int) -> int:
    """Delete expired locks."""
    return transaction.run(SQL.purge_locks, queue=queue, now=transaction.now, limit=limit).rowcount


def purge_cancellations(transaction: Transaction) -> int:
    """Delete cancellations that every server has had time to read."""
    old = transaction.now - CANCELLATION_AGE
    return transaction.run(SQL.purge_cancellations, old=old, limit=OTHER_ROWS).rowcount
