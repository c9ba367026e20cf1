"""Operator actions on tasks, and pausing of queues and task types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.inspection import REWRITABLE, Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.sqlite.admin.tasks import list_rows
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.rows import (
    Row,
    change_state,
    delete,
    encode,
    find,
    lock_holder,
    make_room,
    message,
    unlock,
)
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import freed_by, moved_key


def act(
    transaction: Transaction, refs: Sequence[TaskRef], *, action: Action, state: TaskState | None
) -> list[Moved]:
    """See Inspection.move."""
    answers = []
    for ref in refs:
        row = find(transaction, ref)
        if row is None:
            answers.append(Moved.NOT_FOUND)
        elif (state is not None and row[5] != state) or not _allowed(row, action):
            answers.append(Moved.WRONG_STATE)
        else:
            _act(transaction, action, [row])
            answers.append(Moved.DONE)
    if action.target is TaskState.ARCHIVED:
        for queue, count in Counter(ref.queue for ref in refs).items():
            make_room(transaction, queue, transaction.now, count)
    return answers


class PageResult(NamedTuple):
    """The outcome of an action on one page: tasks acted on, tasks skipped, and whether it was the last page."""

    moved: int
    skipped: int
    last: bool


def act_on_page(transaction: Transaction, action: Action, where: Where, page: Page) -> PageResult:
    """One step of Inspection.move_all."""
    existing(transaction, where.queue)
    if where.state not in action.origins:
        return PageResult(0, 0, last=True)
    rows = list_rows(transaction, where, page)
    moved = [row for row in rows if _allowed(row, action)]
    if moved:
        _act(transaction, action, moved)
        if action.target is TaskState.ARCHIVED:
            make_room(transaction, where.queue, transaction.now, len(moved))
    return PageResult(len(moved), len(rows) - len(moved), len(rows) < page.size)


def _allowed(row: Row, action: Action) -> bool:
    return row[5] in action.origins and not row[8]


def _act(transaction: Transaction, action: Action, rows: Sequence[Row]) -> None:
    if action.target is None:
        delete(transaction, rows)
    else:
        change_state(transaction, rows, action.target, transaction.now)
        for row in rows:
            if row[3] and freed_by(message(row), action.target):
                unlock(transaction, row[1], row[3], row[2])
    if action.target is TaskState.PENDING:
        transaction.topics.update(signals.pending(row[1]) for row in rows)
    else:
        transaction.ended += [TaskRef(row[1], row[2]) for row in rows]


def rewrite(transaction: Transaction, payloads: Sequence[tuple[TaskRef, bytes]]) -> list[Moved]:
    """See Inspection.rewrite."""
    answers = []
    for ref, payload in payloads:
        row = find(transaction, ref)
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
    transaction.run(SQL.update_payload, key=row[0], unique_key=key, message=encode(after))
    if not key:
        return
    until = unlock(transaction, old.queue, old.unique_key, old.id)
    if until is None or lock_holder(transaction, old.queue, key):
        return
    transaction.run(SQL.take_lock, queue=old.queue, key=key, id=old.id, until=until)


def pause(transaction: Transaction, queue: str, paused: bool) -> bool:
    """See Inspection.pause."""
    if paused:
        transaction.run(SQL.ensure_queue, queue=queue)
    else:
        transaction.topics.add(signals.pending(queue))
    return bool(transaction.run(SQL.set_paused, queue=queue, paused=paused).rowcount)


def pause_type(transaction: Transaction, queue: str, type: str, paused: bool) -> bool:
    """See Inspection.pause_type."""
    transaction.topics.add(signals.types(queue))
    if not paused:
        return bool(transaction.run(SQL.resume_type, queue=queue, type=type).rowcount)
    transaction.run(SQL.ensure_queue, queue=queue)
    return bool(transaction.run(SQL.pause_type, queue=queue, type=type, since=transaction.now).rowcount)
