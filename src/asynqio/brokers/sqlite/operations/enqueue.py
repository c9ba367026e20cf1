"""Tasks in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.errors import full
from asynqio.brokers.sqlite.storage.rows import Row, encode, forget, place
from asynqio.brokers.sqlite.storage.rows import message as task_of
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task import unique_locks as locks
from asynqio.core.task.message import TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate
from asynqio.core.task.unique_locks import FINISHED, Meeting

_TOPICS = {
    TaskState.PENDING: signals.pending,
    TaskState.SCHEDULED: signals.due,
    TaskState.AGGREGATING: signals.grouped,
    TaskState.RETRY: signals.due,
}


def enqueue(
    transaction: Transaction, entries: Sequence[Entry], settings: Settings
) -> list[Admission | Replaced]:
    for queue in {entry.message.queue for entry in entries}:
        transaction.run(SQL.ensure_queue, queue=queue)
    numbers = transaction.numbers(len(entries))
    answers = [admit(transaction, entry, number) for entry, number in zip(entries, numbers, strict=True)]
    tally(transaction, entries, answers)
    keep_reserve(transaction, settings)
    return answers


def admit(transaction: Transaction, entry: Entry, number: int) -> Admission | Replaced:
    """Take one entry in; its queue exists, `number` is fresh. It is not in the queue's figures yet (`tally`)."""
    message = entry.message
    queue, id, now = message.queue, message.id, transaction.now
    unique = entry.unique_ttl > 0
    if unique:
        holder = transaction.value(SQL.lock_holder, queue=queue, key=entry.lock, now=now)
        if holder is not None:
            meeting, row = _meet(transaction, entry, holder)
            if meeting is Meeting.REFUSED:
                return Admission.DUPLICATE
            if meeting is Meeting.CHANGES:
                _change(transaction, entry, row, number)
                return Replaced(holder)
    if entry.replace_finished:
        there = transaction.one(SQL.find, queue=queue, id=id)
        if there is not None and there[5] in FINISHED:
            forget(transaction, [there])
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
        transaction.run(SQL.take_lock, queue=queue, key=entry.lock, id=id, until=until)
    transaction.topics.add(_TOPICS[state](queue))
    return Admission.ACCEPTED


def tally(
    transaction: Transaction, entries: Iterable[Entry], answers: Iterable[Admission | Replaced | None]
) -> None:
    """Count those that came in pending; triggers count the others."""
    pending = Counter(
        entry.message.queue
        for entry, answer in zip(entries, answers, strict=True)
        if answer is Admission.ACCEPTED and entry.state is TaskState.PENDING
    )
    for queue, count in pending.items():
        transaction.run(SQL.tally_pending, queue=queue, count=count)


def _meet(transaction: Transaction, entry: Entry, holder: str) -> tuple[Meeting, Row]:
    """What becomes of an entry whose lock is held, and the row of the holder."""
    row: Row | None = transaction.one(SQL.find, queue=entry.message.queue, id=holder)
    if row is None:
        return locks.meet(entry, None, None), ()
    claimed = row[8]
    return locks.meet(entry, task_of(row), None if claimed else TaskState(row[5])), row


def _change(transaction: Transaction, entry: Entry, row: Row, number: int) -> None:
    """The holder of an entry's lock, which waits, becomes what the entry says."""
    key, queue, id = row[:3]
    before, state, now = task_of(row), TaskState(row[5]), transaction.now
    after, target = locks.changed(entry, before, state)
    if entry.on_duplicate is OnDuplicate.REPLACE:
        changes = {"message": encode(after), "unique_key": after.unique_key, "group": after.group}
        transaction.run(SQL.replace, key=key, **changes)
    if not locks.keeps_place(before, state, after, target):
        at = entry.process_at if entry.state is TaskState.SCHEDULED else now
        place(transaction, [row], target, at, [number])
    transaction.run(SQL.take_lock, queue=queue, key=entry.lock, id=id, until=now + entry.unique_ttl)
    transaction.topics.add(_TOPICS[target](queue))


def keep_reserve(transaction: Transaction, settings: Settings) -> None:
    """Refuse what would take the last of `max_bytes`: moving tasks needs room too, or a full store could not
    even be worked off."""
    if settings.max_bytes:
        pages = settings.max_bytes // int(transaction.value(SQL.page_size))
        if transaction.value(SQL.pages_used) > pages - max(32, pages // 16):
            raise full(settings.path)
