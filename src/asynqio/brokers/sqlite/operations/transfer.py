"""Transfer tasks to another queue, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.sqlite.storage.rows import (
    Row,
    delete_outlived,
    encode,
    find,
    lock_holder,
    make_room,
    readable,
    unlock,
)
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import TransferTo
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique_locks import in_queue


def transfer(transaction: Transaction, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    """See Inspection.transfer."""
    answers = [_transfer(transaction, ref, target) for ref in refs]
    if done := answers.count(Moved.DONE):
        make_room(transaction, target, transaction.now, done)
        transaction.topics |= {signals.pending(target), signals.due(target)}
    return answers


def _transfer(transaction: Transaction, ref: TaskRef, target: str) -> Moved:
    row = find(transaction, ref)
    if row is None:
        return Moved.NOT_FOUND
    before = readable(row)
    if row[5] not in TransferTo.origins or ref.queue == target or before is None:
        return Moved.WRONG_STATE
    after, now = in_queue(before, target), transaction.now
    until = transaction.value(SQL.lock_until, queue=ref.queue, key=before.unique_key, id=ref.id, now=now)
    if until and lock_holder(transaction, target, after.unique_key):
        return Moved.DUPLICATE
    if find(transaction, after.ref):
        return Moved.ID_CONFLICT
    delete_outlived(transaction, after.ref)
    transaction.run(SQL.ensure_queue, queue=target)
    unlock(transaction, ref.queue, before.unique_key, ref.id)
    if until:
        transaction.run(SQL.take_lock, queue=target, key=after.unique_key, id=ref.id, until=until)
    _update(transaction, row, after)
    transaction.ended.append(ref)
    return Moved.DONE


def _update(transaction: Transaction, row: Row, after: TaskMessage) -> None:
    [seq] = transaction.numbers(1)
    transaction.run(
        SQL.transfer_task,
        key=row[0],
        queue=after.queue,
        message=encode(after),
        unique_key=after.unique_key,
        at=row[6],
        seq=seq,
        since=transaction.now if row[5] == TaskState.PENDING else 0.0,
    )
