"""Tasks in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from asynqio.brokers import signals
from asynqio.brokers.base import Admission
from asynqio.brokers.sqlite.problems import full
from asynqio.brokers.sqlite.rows import encode
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.sql import QUERIES as SQL
from asynqio.brokers.sqlite.transaction import Transaction
from asynqio.core.message import TaskState
from asynqio.core.task import Entry

_TOPICS = {
    TaskState.PENDING: signals.pending,
    TaskState.SCHEDULED: signals.due,
    TaskState.AGGREGATING: signals.grouped,
}


def enqueue(transaction: Transaction, entries: Sequence[Entry], settings: Settings) -> list[Admission]:
    for queue in {entry.message.queue for entry in entries}:
        transaction.run(SQL.ensure_queue, queue=queue)
    numbers = transaction.numbers(len(entries))
    answers = [admit(transaction, entry, number) for entry, number in zip(entries, numbers, strict=True)]
    pending = Counter(
        entry.message.queue
        for entry, answer in zip(entries, answers, strict=True)
        if answer is Admission.ACCEPTED and entry.state is TaskState.PENDING
    )
    for queue, count in pending.items():
        transaction.run(SQL.tally_pending, queue=queue, count=count)
    _keep_reserve(transaction, settings)
    return answers


def admit(transaction: Transaction, entry: Entry, number: int) -> Admission:
    """Take one entry in; its queue exists, `number` is fresh."""
    message = entry.message
    queue, id, now = message.queue, message.id, transaction.now
    unique = entry.unique_ttl > 0
    if unique and transaction.one(SQL.lock_held, queue=queue, key=message.unique_key, now=now):
        return Admission.DUPLICATE
    state = entry.state
    at = since = 0.0
    if state is TaskState.PENDING:
        since = now
    else:
        at = entry.process_at if state is TaskState.SCHEDULED else now
    inserted = transaction.connection.execute(
        SQL.insert_task,
        (
            number,
            queue,
            id,
            state.value,
            at,
            number,
            since,
            message.group,
            message.unique_key,
            encode(message),
        ),
    )
    if not inserted.rowcount:
        return Admission.ID_CONFLICT
    if unique:
        until = now + entry.unique_ttl
        transaction.run(SQL.take_lock, queue=queue, key=message.unique_key, id=id, until=until)
    transaction.topics.add(_TOPICS[state](queue))
    return Admission.ACCEPTED


def _keep_reserve(transaction: Transaction, settings: Settings) -> None:
    """Refuse what would take the last of `max_bytes`: moving tasks needs room too, or a full store could not
    even be worked off."""
    if settings.max_bytes:
        pages = settings.max_bytes // int(transaction.value(SQL.page_size))
        if transaction.value(SQL.pages_used) > pages - max(32, pages // 16):
            raise full(settings.path)
