"""Requests to cancel running tasks."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskRef


def cancel(transaction: Transaction, refs: Sequence[TaskRef], archive: bool) -> None:
    """See Broker.cancel."""
    for ref, seq in zip(refs, transaction.numbers(len(refs)), strict=True):
        transaction.run(
            SQL.insert_cancellation,
            seq=seq,
            queue=ref.queue,
            id=ref.id,
            at=transaction.now,
            archive=archive,
        )
    transaction.topics.add(("cancel",))


def last_number(transaction: Transaction) -> int:
    """The number taken last: cancellations requested from now on have higher ones."""
    return int(transaction.value(SQL.last_number))


def cancellations_since(transaction: Transaction, last: int) -> list[tuple[int, Cancellation]]:
    """The cancellations requested after number `last`, each with its number."""
    rows = transaction.all(SQL.cancellations_since, seq=last)
    return [(seq, Cancellation(TaskRef(queue, id), bool(archive))) for seq, queue, id, archive in rows]
