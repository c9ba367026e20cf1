"""Forward due tasks in short transactions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Forwarded
from asynqio.brokers.sqlite.pace import STEP, Pace
from asynqio.brokers.sqlite.session import Session
from asynqio.brokers.sqlite.storage.rows import change_state, sound
from asynqio.brokers.sqlite.storage.statements import SQL, json_list
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState


async def forward(session: Session, queues: Sequence[str], limit: int) -> Forwarded:
    """See Broker.forward. Writes only if a task is due."""
    pace = Pace(session)
    moved = 0
    while True:
        due, next_at = await session.read(partial(find_due, queues=queues))
        if not due or moved >= limit:
            return Forwarded(moved, next_at)
        step = await pace.write(forward_step, due, min(STEP, limit - moved))
        moved += step.moved
        if not step.changed:  # another server was faster
            return Forwarded(moved, next_at)


class Due(NamedTuple):
    """The queues with due tasks, and when the first delayed task of all queues is due."""

    queues: list[str]
    next_at: float | None


def find_due(transaction: Transaction, queues: Sequence[str]) -> Due:
    """Find queues with due tasks. Only reads."""
    due: list[str] = []
    next_at: list[float] = []
    for queue, *times in transaction.all(SQL.next_due, queues=json_list(queues)):
        first = min((at for at in times if at is not None), default=None)
        if first is not None:
            next_at.append(first)
            if first <= transaction.now:
                due.append(queue)
    return Due(due, min(next_at, default=None))


class Step(NamedTuple):
    """The tasks that one transaction forwarded, and those that it changed: corrupt ones are archived."""

    moved: int
    changed: int


def forward_step(transaction: Transaction, queues: Sequence[str], limit: int) -> Step:
    """Forward up to `limit` due tasks."""
    now = transaction.now
    moved = changed = 0
    for queue in queues:
        if changed >= limit:
            break
        rows = transaction.all(SQL.due_tasks, queue=queue, now=now, limit=limit - changed)
        tasks = [row for row, _ in sound(transaction, rows)]
        grouped = [row for row in tasks if row[5]]
        ready = [row for row in tasks if not row[5]]
        if grouped:
            change_state(transaction, grouped, TaskState.AGGREGATING, now)
            transaction.topics.add(signals.grouped(queue))
        if ready:
            change_state(transaction, ready, TaskState.PENDING, now)
            transaction.topics.add(signals.pending(queue))
        moved += len(tasks)
        changed += len(rows)
    return Step(moved, changed)
