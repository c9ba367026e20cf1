"""Enqueue: admit entries, resolve uniqueness locks, count pending tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.contract.signals import entered
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.errors import full
from asynqio.brokers.sqlite.storage.rows import (
    Row,
    change_state,
    delete,
    delete_outlived,
    encode,
    lock_holder,
    message,
)
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate
from asynqio.core.task.unique_locks import (
    FINISHED,
    LockConflict,
    changed,
    keeps_place,
    resolve_conflict,
)


def enqueue(
    transaction: Transaction, entries: Sequence[Entry], settings: Settings
) -> list[Admission | Replaced]:
    """See Broker.enqueue."""
    for queue in {entry.message.queue for entry in entries}:
        transaction.run(SQL.ensure_queue, queue=queue)
    numbers = transaction.numbers(len(entries))
    answers = [admit(transaction, entry, number) for entry, number in zip(entries, numbers, strict=True)]
    tally(transaction, entries, answers)
    keep_reserve(transaction, settings)
    return answers


def admit(transaction: Transaction, entry: Entry, number: int) -> Admission | Replaced:
    """Admit one entry. Its queue exists, `number` is fresh; the caller counts it afterwards with `tally`."""
    task = entry.message
    queue, id, now = task.queue, task.id, transaction.now
    unique = entry.unique_ttl > 0
    if unique:
        held = lock_holder(transaction, queue, entry.lock)
        if held is not None:
            holder = held[0]
            conflict, row = _resolve(transaction, entry, holder)
            if conflict is LockConflict.REFUSE:
                return Admission.DUPLICATE
            if conflict is LockConflict.CHANGE_HOLDER:
                _change_holder(transaction, entry, row, number)
                return Replaced(holder)
    if entry.replace_finished:
        existing = transaction.one(SQL.find_task, queue=queue, id=id)
        if existing is not None and existing[5] in FINISHED:
            delete(transaction, [existing])
    state = entry.state
    at = since = 0.0
    if state is TaskState.PENDING:
        since = now
    else:
        at = entry.process_at if state is TaskState.SCHEDULED else now
    columns = (number, queue, id, state.value, at, number, since, task.group, task.unique_key, encode(task))
    while not transaction.connection.execute(SQL.insert_task, columns).rowcount:
        if not delete_outlived(transaction, task.ref):
            return Admission.ID_CONFLICT
    if unique:
        until = now + entry.unique_ttl
        transaction.run(SQL.take_lock, queue=queue, key=entry.lock, id=id, until=until)
    transaction.topics.add(entered(state, queue))
    return Admission.ACCEPTED


def tally(
    transaction: Transaction, entries: Iterable[Entry], answers: Iterable[Admission | Replaced | None]
) -> None:
    """Count the entries that became pending; triggers count the other states."""
    pending = Counter(
        entry.message.queue
        for entry, answer in zip(entries, answers, strict=True)
        if answer is Admission.ACCEPTED and entry.state is TaskState.PENDING
    )
    for queue, count in pending.items():
        transaction.run(SQL.tally_pending, queue=queue, count=count)


def _resolve(transaction: Transaction, entry: Entry, holder: str) -> tuple[LockConflict, Row]:
    """What happens to an entry whose lock is held, and the row of the holder."""
    row: Row | None = transaction.one(SQL.find_task, queue=entry.message.queue, id=holder)
    if row is None:
        return resolve_conflict(entry, None, None), ()
    claimed = row[8]
    return resolve_conflict(entry, message(row), None if claimed else TaskState(row[5])), row


def _change_holder(transaction: Transaction, entry: Entry, row: Row, number: int) -> None:
    """Replace or reschedule the waiting holder of an entry's lock, as the entry says."""
    key, queue, id = row[:3]
    before, state, now = message(row), TaskState(row[5]), transaction.now
    after, target = changed(entry, before, state)
    if not keeps_place(before, state, after, target):
        at = entry.process_at if entry.state is TaskState.SCHEDULED else now
        change_state(transaction, [row], target, at, [number])
    if entry.on_duplicate is OnDuplicate.REPLACE:
        changes = {"message": encode(after), "unique_key": after.unique_key, "group": after.group}
        transaction.run(SQL.replace_task, key=key, **changes)
    transaction.run(SQL.take_lock, queue=queue, key=entry.lock, id=id, until=now + entry.unique_ttl)
    transaction.topics.add(entered(target, queue))


def keep_reserve(transaction: Transaction, settings: Settings) -> None:
    """Refuse entries that would use the last part of `max_bytes`: state transitions need free pages too, so that a
    full store can still be drained. Raises StorageFull."""
    if settings.max_bytes:
        pages = settings.max_bytes // int(transaction.value(SQL.page_size))
        if transaction.value(SQL.pages_used) > pages - max(32, pages // 16):
            raise full(settings.path)
