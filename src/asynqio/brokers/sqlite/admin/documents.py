"""Documents and logs."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.documents import LOG_TRIM_SIZE, Collection, LogEntry
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction

#: Higher than any number of an entry.
NO_NUMBER = (1 << 63) - 1


def collection(transaction: Transaction, name: str, known: int) -> Collection | None:
    """See Inspection.collection."""
    revision = _revision(transaction, name)
    if revision and revision == known:
        return None
    return Collection(revision, dict(transaction.all(SQL.collection_documents, name=name)))


def put_document(
    transaction: Transaction, collection: str, name: str, data: bytes | None, known: int | None
) -> int | None:
    """See Inspection.put_document."""
    revision = _revision(transaction, collection)
    if known is not None and known != revision:
        return None
    if data is not None:
        transaction.run(SQL.put_document, collection=collection, name=name, data=data)
    elif not transaction.run(SQL.delete_document, collection=collection, name=name).rowcount:
        return revision
    transaction.run(SQL.set_revision, name=collection, revision=revision + 1)
    return revision + 1


def _revision(transaction: Transaction, collection: str) -> int:
    return transaction.value(SQL.collection_revision, name=collection) or 0


def append_log(transaction: Transaction, log: str, entries: Sequence[bytes], keep: int, age: float) -> None:
    """See Inspection.append_log."""
    last = transaction.value(SQL.last_log_number, log=log) or 0
    for number, data in enumerate(entries, last + 1):
        transaction.run(SQL.append_log, log=log, number=number, at=transaction.now, data=data)
    newest = last + len(entries)
    transaction.run(SQL.trim_log_by_number, log=log, number=newest - max(keep, 1))
    before = transaction.now - age
    transaction.run(SQL.trim_log_by_age, log=log, newest=newest, limit=LOG_TRIM_SIZE, before=before)


def read_log(transaction: Transaction, log: str, before: int | None, limit: int) -> list[LogEntry]:
    """See Inspection.read_log."""
    rows = transaction.all(SQL.read_log, log=log, before=NO_NUMBER if before is None else before, limit=limit)
    return [LogEntry(*row) for row in rows]
