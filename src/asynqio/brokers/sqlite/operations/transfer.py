"""Putting tasks into another queue: one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.sqlite.storage.rows import Row, encode, readable, trim
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import MoveTo
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique_locks import in_queue


def transfer(transaction: Transaction, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    answers = [_transfer(transaction, ref, target) for ref in refs]
    if Moved.DONE in answers:
        trim(transaction, target, transaction.now)
        transaction.topics |= {signals.pending(target), signals.due(target)}
    return answers


def _transfer(transaction: Transaction, ref: TaskRef, target: str) -> Moved:
    row = transaction.one(SQL.find, queue=ref.queue, id=ref.id)
    if row is None:
        return Moved.NOT_FOUND
    before = readable(row)
    if row[5] not in MoveTo.origins or ref.queue == target or before is None:
        return Moved.WRONG_STATE
    after, now = in_queue(before, target), transaction.now
    until = transaction.value(SQL.lock_until, queue=ref.queue, key=before.unique_key, id=ref.id, now=now)
    if until and transaction.one(SQL.lock_holder, queue=target, key=after.unique_key, now=now):
        return Moved.DUPLICATE
    if transaction.one(SQL.find, queue=target, id=ref.id):
        return Moved.ID_CONFLICT
    transaction.run(SQL.ensure_queue, queue=target)
    transaction.run(SQL.unlock, queue=ref.queue, key=before.unique_key, id=ref.id).fetchall()
    if until:
        transaction.run(SQL.take_lock, queue=target, key=after.unique_key, id=ref.id, until=until)
    _put(transaction, row, after)
    transaction.ended.append(ref)
    return Moved.DONE


def _put(transaction: Transaction, row: Row, after: TaskMessage) -> None:
    [seq] = transaction.numbers(1)
    transaction.run(
        SQL.transfer,
        key=row[0],
        queue=after.queue,
        message=encode(after),
        unique_key=after.unique_key,
        at=row[6],
        seq=seq,
        since=transaction.now if row[5] == TaskState.PENDING else 0.0,
    )
