"""Stats of queues and groups, and of the file. Only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from asynqio.brokers.contract.limits import DAY
from asynqio.brokers.sqlite.operations.groups import group_failure
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.groups import GroupFailure
from asynqio.core.info import FRONT, DayStats, GroupStats, QueueStats, StoreNode, longest_waiting
from asynqio.core.task.message import TaskState


def queue_names(transaction: Transaction) -> list[str]:
    """See Inspection.queues."""
    return [name for (name,) in transaction.all(SQL.queues)]


def queue_stats(transaction: Transaction, queues: Sequence[str]) -> list[QueueStats]:
    """See Inspection.stats."""
    return [_stats(transaction, queue) for queue in queues]


def _stats(transaction: Transaction, queue: str) -> QueueStats:
    paused, processed_total, failed_total, evicted, quarantined = existing(transaction, queue)
    now = transaction.now
    counts = dict(transaction.all(SQL.tallies, queue=queue))
    front = transaction.run(SQL.front_pending_since, queue=queue, limit=FRONT)
    oldest = longest_waiting(since for (since,) in front)
    front.close()
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
    """See Broker.paused_types."""
    found = {queue: dict(transaction.all(SQL.paused_types, queue=queue)) for queue in queues}
    return {queue: types for queue, types in found.items() if types}


def history(transaction: Transaction, queue: str, days: int) -> list[DayStats]:
    """See Inspection.history."""
    existing(transaction, queue)
    today = int(transaction.now // DAY)
    found = []
    for day in range(today, today - days, -1):
        counts = transaction.one(SQL.day, queue=queue, day=day) or (0, 0)
        found.append(DayStats(queue, datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d"), *counts))
    return found


def group_stats(transaction: Transaction, queue: str, names: Sequence[str] | None) -> list[GroupStats]:
    """See Inspection.groups."""
    existing(transaction, queue)
    if names is None:
        rows = transaction.all(SQL.groups, queue=queue)
        failures = {
            group: GroupFailure(*found) for group, *found in transaction.all(SQL.group_failures, queue=queue)
        }
        return [
            GroupStats(group, size, oldest, newest, failures.get(group))
            for group, size, oldest, newest in rows
        ]
    found = []
    for group in sorted(set(names)):
        size, oldest, newest = transaction.one(SQL.group_stats, queue=queue, group=group, most=-1)
        if size:
            found.append(GroupStats(group, size, oldest, newest, group_failure(transaction, queue, group)))
    return found


def group_names(transaction: Transaction, queue: str) -> list[str]:
    """See Inspection.group_names."""
    existing(transaction, queue)
    return [name for (name,) in transaction.all(SQL.group_names, queue=queue)]


def node(transaction: Transaction, path: str) -> StoreNode:
    """The file as a node: bytes that hold data, and bytes of the file."""
    page = transaction.value(SQL.page_size)
    used, pages = transaction.value(SQL.pages_used), transaction.value(SQL.pages)
    return StoreNode(path, f"SQLite {sqlite3.sqlite_version}", used=used * page, peak=pages * page)
