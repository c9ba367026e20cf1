"""Tasks as rows: decoding them, and the state transitions of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from asynqio.brokers.contract.results import CORRUPT_TYPE
from asynqio.brokers.sqlite.storage.statements import SQL, json_list
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique_locks import FINISHED

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TaskMessage).decode

#: Tasks evicted by a transaction beside as many as it archived.
SURPLUS_EVICTED = 100

#: Every statement that reads tasks returns these columns first: key, queue, id, unique_key, message.
Row = Sequence[Any]


def corrupt(row: Row) -> TaskMessage:
    """The message that represents a task whose bytes cannot be decoded."""
    _, queue, id, key, found = row[:5]
    payload = found if isinstance(found, bytes) else str(found).encode()
    return TaskMessage(
        id,
        CORRUPT_TYPE,
        queue,
        payload,
        unique_key=key,
        last_error="the stored bytes are not a task; they are kept as its payload",
    )


def readable(row: Row) -> TaskMessage | None:
    """The message of a row, or None if its bytes cannot be decoded."""
    try:
        return _decode(row[4])
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        return None


def message(row: Row) -> TaskMessage:
    """The message of a row; one of type CORRUPT_TYPE if its bytes cannot be decoded."""
    return readable(row) or corrupt(row)


def outlived_at(transaction: Transaction, state: TaskState) -> float:
    """COMPLETED and ARCHIVED tasks up to this time have outlived their retention or the age of the archive: they
    count as deleted, although no sweep has deleted them yet."""
    return transaction.now - (transaction.archive_age if state is TaskState.ARCHIVED else 0.0)


def is_outlived(transaction: Transaction, state: str, at: float) -> bool:
    """Whether a task in this state, with this `at`, counts as deleted."""
    return state in FINISHED and at <= outlived_at(transaction, TaskState(state))


def find(transaction: Transaction, ref: TaskRef) -> Row | None:
    """The row of a task, unless it counts as deleted."""
    row: Row | None = transaction.one(SQL.find_task, queue=ref.queue, id=ref.id)
    return None if row is None or is_outlived(transaction, *row[5:7]) else row


def delete_outlived(transaction: Transaction, ref: TaskRef) -> bool:
    """Delete a task if it counts as deleted, so that its id can be used again."""
    row: Row | None = transaction.one(SQL.find_task, queue=ref.queue, id=ref.id)
    if row is None or not is_outlived(transaction, *row[5:7]):
        return False
    delete(transaction, [row])
    return True


def lock_holder(transaction: Transaction, queue: str, key: str) -> Row | None:
    """The id of the task that holds a uniqueness lock, and until when; None: the lock is free."""
    now = transaction.now
    row: Row | None = transaction.one(
        SQL.lock_holder, queue=queue, key=key, now=now, old=now - transaction.archive_age
    )
    return row


def info(row: Row, now: float) -> TaskInfo:
    """The snapshot of a row read by `find_task` or a `list_…` statement."""
    name, at, pending_since, _, result, progress = row[5:]
    state = TaskState(name)
    facts: dict[str, Any] = {"result": result, "progress": progress}
    if state in (TaskState.SCHEDULED, TaskState.RETRY):
        facts["next_process_at"] = at
    elif state is TaskState.PENDING:
        facts["next_process_at"] = now
        facts["pending_since"] = pending_since
    elif state is TaskState.ACTIVE:
        facts["is_orphaned"] = at <= now
        facts["lease_expires_at"] = at
    return TaskInfo.of(message(row), state, **facts)


def sound(transaction: Transaction, rows: Iterable[Row]) -> Iterator[tuple[Row, TaskMessage]]:
    """The rows that can be decoded, each with its message; the others are quarantined."""
    for row in rows:
        task = readable(row)
        if task is None:
            quarantine(transaction, row)
        else:
            yield row, task


def quarantine(transaction: Transaction, row: Row) -> None:
    """Archive a task that cannot be decoded, so that it blocks no other task."""
    key, queue, id = row[:3]
    now = transaction.now
    [seq] = transaction.numbers(1)
    shown = msgspec.structs.replace(corrupt(row), last_failed_at=now)
    transaction.run(SQL.quarantine, key=key, now=now, seq=seq, message=encode(shown))
    transaction.run(SQL.count_quarantined, queue=queue)
    transaction.ended.append(TaskRef(queue, id))
    make_room(transaction, queue, now, 1)


def change_state(
    transaction: Transaction,
    rows: Sequence[Row],
    state: TaskState,
    at: float,
    numbers: Sequence[int] | None = None,
) -> None:
    """Move tasks to the end of a state, or to the positions given by `numbers`. `at`: see the column."""
    pending = state is TaskState.PENDING
    when, since = (0.0, at) if pending else (at, 0.0)
    transaction.changed += [TaskRef(row[1], row[2]) for row in rows]
    transaction.connection.executemany(
        SQL.change_state,
        [
            (state.value, when, seq, since, row[0])
            for row, seq in zip(rows, numbers or transaction.numbers(len(rows)), strict=True)
        ],
    )


def delete(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Delete tasks and free their locks.

    In one statement: within a savepoint, the cost of single deletions with triggers grows with each one before.
    """
    if rows:
        transaction.run(SQL.delete_tasks, keys=json_list(row[0] for row in rows))
    for _, queue, id, unique_key, *_ in rows:
        if unique_key:
            unlock(transaction, queue, unique_key, id)


def unlock(transaction: Transaction, queue: str, key: str, id: str) -> float | None:
    """Free a uniqueness lock if this task still holds it; returns when it would have expired."""
    row = transaction.run(SQL.unlock, queue=queue, key=key, id=id).fetchall()
    return row[0][0] if row else None


def trim(transaction: Transaction, queue: str, now: float, limit: int) -> int:
    """Evict up to `limit` of the oldest archived tasks that exceed the limits of the archive; returns their number.

    The size of the archive comes from its counter, so the cost does not grow with it.
    """
    old = now - transaction.archive_age
    size = transaction.value(SQL.tally, queue=queue, what=TaskState.ARCHIVED) or 0
    surplus = min(size - transaction.archive_limit, limit)
    evicted = transaction.all(SQL.archived_too_old, queue=queue, old=old, limit=limit)
    if surplus > len(evicted):
        # Both are the oldest: the longer list contains the other one.
        evicted = transaction.all(SQL.oldest_archived, queue=queue, limit=surplus)
    if evicted:
        delete(transaction, evicted)
        transaction.run(SQL.count_evicted, queue=queue, count=len(evicted))
    return len(evicted)


def make_room(transaction: Transaction, queue: str, now: float, archived: int) -> None:
    """Evict as many tasks as were archived, and a few more if the limit of the archive was lowered; a sweep evicts
    the rest."""
    trim(transaction, queue, now, archived + SURPLUS_EVICTED)
