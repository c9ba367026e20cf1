"""Looking at the file. Nothing here writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.sqlite.operations.settle import DAY
from asynqio.brokers.sqlite.storage.rows import Row, info
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.attempts.record import AttemptRecord, decode_record, under_way
from asynqio.core.info import FRONT, DayStats, GroupStats, QueueStats, StoreNode, longest_waiting
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.errors import QueueNotFound


def queues(transaction: Transaction) -> list[str]:
    return [name for (name,) in transaction.all(SQL.queues)]


def existing(transaction: Transaction, queue: str) -> Row:
    """Whether the queue is paused, and its totals. Raises QueueNotFound."""
    row: Row | None = transaction.one(SQL.queue, queue=queue)
    if row is None:
        raise QueueNotFound(queue)
    return row


def stats(transaction: Transaction, queues: Sequence[str]) -> list[QueueStats]:
    return [_stats(transaction, queue) for queue in queues]


def _stats(transaction: Transaction, queue: str) -> QueueStats:
    paused, processed_total, failed_total, evicted, quarantined = existing(transaction, queue)
    now = transaction.now
    counts = dict(transaction.all(SQL.tallies, queue=queue))
    line = transaction.run(SQL.waiting_since, queue=queue, limit=FRONT)
    oldest = longest_waiting(since for (since,) in line)
    line.close()
    dues = (
        transaction.value(SQL.first_at, queue=queue, state=state)
        for state in (TaskState.SCHEDULED, TaskState.RETRY)
    )
    due = min((at for at in dues if at is not None), default=now + 1)
    processed, failed = transaction.one(SQL.day, queue=queue, day=int(now // DAY)) or (0, 0)
    return QueueStats(
        queue=queue,
        paused=bool(paused),
        groups=counts.get("groups", 0),
        latency=max(0.0, now - oldest) if oldest else 0.0,
        oldest_pending_at=oldest,
        overdue_since=due if due <= now else 0.0,
        processed=processed,
        failed=failed,
        processed_total=processed_total,
        failed_total=failed_total,
        evicted_total=evicted,
        quarantined_total=quarantined,
        **{state.value: counts.get(state.value, 0) for state in TaskState},
    )


def paused_types(transaction: Transaction, queues: Sequence[str]) -> dict[str, dict[str, float]]:
    found = {queue: dict(transaction.all(SQL.paused_types, queue=queue)) for queue in queues}
    return {queue: types for queue, types in found.items() if types}


def history(transaction: Transaction, queue: str, days: int) -> list[DayStats]:
    existing(transaction, queue)
    today = int(transaction.now // DAY)
    found = []
    for day in range(today, today - days, -1):
        figures = transaction.one(SQL.day, queue=queue, day=day) or (0, 0)
        found.append(DayStats(queue, datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d"), *figures))
    return found


def groups(transaction: Transaction, queue: str) -> list[GroupStats]:
    existing(transaction, queue)
    return [GroupStats(*row) for row in transaction.all(SQL.groups, queue=queue)]


def tasks(transaction: Transaction, where: Where, page: Page) -> list[TaskInfo]:
    existing(transaction, where.queue)
    return [info(row, transaction.now) for row in listed(transaction, where, page)]


def listed(transaction: Transaction, where: Where, page: Page) -> list[Row]:
    """The rows of one page, in the order in which they are shown."""
    bounds = {"queue": where.queue, "size": page.size, "offset": page.offset}
    match where.state:
        case TaskState.ACTIVE:
            return transaction.all(SQL.list_active, **bounds)
        case TaskState.AGGREGATING:
            return transaction.all(SQL.list_grouped, group=where.group, **bounds)
        case TaskState.COMPLETED | TaskState.ARCHIVED:
            return transaction.all(SQL.list_latest, state=where.state, **bounds)
    return transaction.all(SQL.list_earliest, state=where.state, **bounds)


def find(transaction: Transaction, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
    found: list[TaskInfo | None] = []
    for ref in refs:
        row = transaction.one(SQL.find, queue=ref.queue, id=ref.id)
        found.append(info(row, transaction.now) if row else None)
    return found


def node(transaction: Transaction, path: str) -> StoreNode:
    page = transaction.value(SQL.page_size)
    used, pages = transaction.value(SQL.pages_used), transaction.value(SQL.pages)
    return StoreNode(path, f"SQLite {sqlite3.sqlite_version}", used=used * page, peak=pages * page)


def lock_holder(transaction: Transaction, queue: str, key: str) -> LockHolder | None:
    row = transaction.one(SQL.lock_holder, queue=queue, key=key, now=transaction.now)
    return LockHolder(*row) if row else None


def attempts(transaction: Transaction, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
    return [_attempts(transaction, ref) for ref in refs]


def _attempts(transaction: Transaction, ref: TaskRef) -> list[AttemptRecord]:
    row = transaction.one(SQL.attempt_under_way, queue=ref.queue, id=ref.id)
    if row is None:
        return []
    key, state, owner, runs, live = row
    found = transaction.all(SQL.attempts, key=key) if runs else []
    records = [decode_record(record, number) for number, record in found]
    if state == TaskState.ACTIVE:
        records.append(under_way(decode_record(live) if live else None, owner, runs + 1))
    return records
