"""Records of attempts: storing them and reading them."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.sqlite.storage.rows import is_outlived
from asynqio.brokers.sqlite.storage.statements import SQL, json_list
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.attempts.record import (
    RUNS_KEPT,
    AttemptRecord,
    decode_record,
    encode_record,
    running_record,
)
from asynqio.core.task.message import TaskRef, TaskState


def store_records(
    transaction: Transaction, keys: Sequence[int], records: Sequence[AttemptRecord | None]
) -> None:
    """Store the records of attempts that have just been settled, by the keys of their tasks."""
    encoded = [(encode_record(record), key) for key, record in zip(keys, records, strict=True) if record]
    transaction.connection.executemany(SQL.insert_attempt, encoded)
    transaction.run(SQL.trim_attempts, keys=json_list(keys), kept=RUNS_KEPT)


def attempts(transaction: Transaction, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
    """See Broker.attempts."""
    return [_attempts(transaction, ref) for ref in refs]


def _attempts(transaction: Transaction, ref: TaskRef) -> list[AttemptRecord]:
    row = transaction.one(SQL.running_attempt, queue=ref.queue, id=ref.id)
    if row is None or is_outlived(transaction, *row[1:3]):
        return []
    key, state, _, owner, runs, live = row
    found = transaction.all(SQL.attempts, key=key) if runs else []
    records = [decode_record(record, number) for number, record in found]
    if state == TaskState.ACTIVE:
        records.append(running_record(decode_record(live) if live else None, owner, runs + 1))
    return records
