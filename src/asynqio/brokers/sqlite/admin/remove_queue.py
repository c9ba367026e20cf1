"""Remove a queue with everything in it, in steps that block other processes only for a moment."""

from __future__ import annotations

from asynqio.brokers.sqlite.pace import STEP
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState
from asynqio.errors import WrongState


def remove_step(transaction: Transaction, queue: str, *, force: bool) -> int | None:
    """Pause the queue and delete up to STEP of its tasks; returns how many, None when the queue is removed.

    Raises QueueNotFound, WrongState.
    """
    existing(transaction, queue)
    counts = dict(transaction.all(SQL.tallies, queue=queue))
    if active := counts.get(TaskState.ACTIVE):
        raise WrongState(f"queue {queue!r} has {active} active tasks: wait, or cancel them")
    if (tasks := sum(counts.get(state, 0) for state in TaskState)) and not force:
        raise WrongState(f"queue {queue!r} holds {tasks} tasks: remove it with force=True")
    transaction.topics.update([("ended",), ("changed",)])
    transaction.run(SQL.set_paused, queue=queue, paused=True)
    if removed := transaction.run(SQL.remove_tasks, queue=queue, limit=STEP).rowcount:
        return removed
    if transaction.run(SQL.remove_locks, queue=queue, limit=STEP).rowcount == STEP:
        return 0
    for statement in (
        SQL.remove_batches,
        SQL.remove_days,
        SQL.remove_tallies,
        SQL.remove_grouped,
        SQL.remove_paused_types,
        SQL.remove_schedules,
        SQL.remove_flushed_groups,
        SQL.remove_group_failures,
        SQL.remove_group_due,
        SQL.remove_group_rules,
        SQL.remove_queue,
    ):
        transaction.run(statement, queue=queue)
    return None
