"""Find and list tasks. Only reads."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.sqlite.storage import rows
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.rows import Row, info, outlived_at
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


def list_tasks(transaction: Transaction, where: Where, page: Page) -> list[TaskInfo]:
    """See Inspection.tasks."""
    existing(transaction, where.queue)
    return [info(row, transaction.now) for row in list_rows(transaction, where, page)]


def list_rows(transaction: Transaction, where: Where, page: Page) -> list[Row]:
    """The rows of one page, in the order of `Inspection.tasks`."""
    bounds = {"queue": where.queue, "size": page.size, "offset": page.offset}
    match where.state:
        case TaskState.ACTIVE:
            return transaction.all(SQL.list_active, **bounds)
        case TaskState.AGGREGATING:
            return transaction.all(SQL.list_grouped, group=where.group, **bounds)
        case TaskState.COMPLETED | TaskState.ARCHIVED:
            after = outlived_at(transaction, where.state)
            return transaction.all(SQL.list_latest, state=where.state, after=after, **bounds)
    return transaction.all(SQL.list_earliest, state=where.state, **bounds)


def find(transaction: Transaction, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
    """See Inspection.find."""
    found: list[TaskInfo | None] = []
    for ref in refs:
        row = rows.find(transaction, ref)
        found.append(info(row, transaction.now) if row else None)
    return found


def lock_holder(transaction: Transaction, queue: str, key: str) -> LockHolder | None:
    """See Inspection.lock_holder."""
    row = rows.lock_holder(transaction, queue, key)
    return LockHolder(*row) if row else None
