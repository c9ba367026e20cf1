"""What operators do to tasks and queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.sqlite.admin.stats import existing, listed
from asynqio.brokers.sqlite.storage.rows import Row, encode, forget, message, place, trim
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import freed_by, moved_key
from asynqio.errors import WrongState

#: The states in which a payload may be replaced: nobody works with it.
REWRITABLE = frozenset({TaskState.SCHEDULED, TaskState.RETRY, TaskState.PENDING, TaskState.ARCHIVED})


def move(
    transaction: Transaction, action: Action, refs: Sequence[TaskRef], state: TaskState | None
) -> list[Moved]:
    answers = []
    for ref in refs:
        row = transaction.one(SQL.find, queue=ref.queue, id=ref.id)
        if row is None:
            answers.append(Moved.NOT_FOUND)
        elif (state is not None and row[5] != state) or not _movable(row, action):
            answers.append(Moved.WRONG_STATE)
        else:
            _move(transaction, action, [row])
            answers.append(Moved.DONE)
    if action.target is TaskState.ARCHIVED:
        for queue in {ref.queue for ref in refs}:
            trim(transaction, queue, transaction.now)
    return answers


class Stretch(NamedTuple):
    """Of the tasks looked at, in their order: how many were moved, how many not, and whether that was all."""

    moved: int
    left: int
    last: bool


def move_some(transaction: Transaction, action: Action, where: Where, page: Page) -> Stretch:
    existing(transaction, where.queue)
    if where.state not in action.origins:
        return Stretch(0, 0, last=True)
    rows = listed(transaction, where, page)
    moved = [row for row in rows if _movable(row, action)]
    if moved:
        _move(transaction, action, moved)
        if action.target is TaskState.ARCHIVED:
            trim(transaction, where.queue, transaction.now)
    return Stretch(len(moved), len(rows) - len(moved), len(rows) < page.size)


def _movable(row: Row, action: Action) -> bool:
    return row[5] in action.origins and not row[8]


def _move(transaction: Transaction, action: Action, rows: Sequence[Row]) -> None:
    if action.target is None:
        forget(transaction, rows)
    else:
        place(transaction, rows, action.target, transaction.now)
        for row in rows:
            if row[3] and freed_by(message(row), action.target):
                transaction.run(SQL.unlock, queue=row[1], key=row[3], id=row[2]).fetchall()
    if action.target is TaskState.PENDING:
        transaction.topics.update(signals.pending(row[1]) for row in rows)
    else:
        transaction.ended += [TaskRef(row[1], row[2]) for row in rows]


def rewrite(transaction: Transaction, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
    answers = []
    for ref, payload in payloads.items():
        row = transaction.one(SQL.find, queue=ref.queue, id=ref.id)
        if row is None:
            answers.append(Moved.NOT_FOUND)
        elif row[5] not in REWRITABLE:
            answers.append(Moved.WRONG_STATE)
        else:
            _rewrite(transaction, row, payload)
            answers.append(Moved.DONE)
    return answers


def _rewrite(transaction: Transaction, row: Row, payload: bytes) -> None:
    old = message(row)
    key = moved_key(old, payload)
    after = msgspec.structs.replace(old, payload=payload, unique_key=key)
    transaction.run(SQL.rewrite, key=row[0], unique_key=key, message=encode(after))
    if not key:
        return
    until = transaction.value(SQL.unlock, queue=old.queue, key=old.unique_key, id=old.id)
    if until is None or transaction.one(SQL.lock_holder, queue=old.queue, key=key, now=transaction.now):
        return
    transaction.run(SQL.take_lock, queue=old.queue, key=key, id=old.id, until=until)


def pause(transaction: Transaction, queue: str, paused: bool) -> bool:
    if paused:
        transaction.run(SQL.ensure_queue, queue=queue)
    else:
        transaction.topics.add(signals.pending(queue))
    return bool(transaction.run(SQL.set_paused, queue=queue, paused=paused).rowcount)


def pause_type(transaction: Transaction, queue: str, type: str, paused: bool) -> bool:
    transaction.topics.add(signals.types(queue))
    if not paused:
        return bool(transaction.run(SQL.resume_type, queue=queue, type=type).rowcount)
    transaction.run(SQL.ensure_queue, queue=queue)
    return bool(transaction.run(SQL.pause_type, queue=queue, type=type, since=transaction.now).rowcount)


#: Tasks removed by one transaction when a queue is dropped, so that nobody else waits long.
REMOVED_TOGETHER = 1_000


def drop_some(transaction: Transaction, queue: str, *, force: bool) -> int | None:
    """Remove some of a queue, and see to it that nobody works on the rest; how many tasks, None when all is gone."""
    existing(transaction, queue)
    counts = dict(transaction.all(SQL.tallies, queue=queue))
    if active := counts.get(TaskState.ACTIVE):
        raise WrongState(f"queue {queue!r} has {active} active tasks: wait, or cancel them")
    if (tasks := sum(counts.get(state, 0) for state in TaskState)) and not force:
        raise WrongState(f"queue {queue!r} holds {tasks} tasks: drop it with force=True")
    transaction.topics.update([("ended",), ("changed",)])
    transaction.run(SQL.set_paused, queue=queue, paused=True)
    if removed := transaction.run(SQL.drop_tasks, queue=queue, limit=REMOVED_TOGETHER).rowcount:
        return removed
    for statement in (
        SQL.drop_batches,
        SQL.drop_locks,
        SQL.drop_days,
        SQL.drop_tallies,
        SQL.drop_grouped,
        SQL.drop_types,
        SQL.drop_schedules,
        SQL.drop_flushed,
        SQL.drop_queue,
    ):
        transaction.run(statement, queue=queue)
    return None


def cancel(transaction: Transaction, refs: Sequence[TaskRef], archive: bool) -> None:
    for ref, seq in zip(refs, transaction.numbers(len(refs)), strict=True):
        transaction.run(
            SQL.insert_cancel, seq=seq, queue=ref.queue, id=ref.id, at=transaction.now, archive=archive
        )
    transaction.topics.add(("cancel",))
