"""Groups: members become batches, batches become one task."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from asynqio.brokers import signals
from asynqio.brokers.base import Admission, Claimed, Replaced
from asynqio.brokers.sqlite.intake import enqueue
from asynqio.brokers.sqlite.rows import forget, sound
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.sql import QUERIES as SQL
from asynqio.brokers.sqlite.transaction import Transaction
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupRule
from asynqio.core.message import TaskRef
from asynqio.core.task import Entry


def claim_groups(transaction: Transaction, queues: Sequence[str], rule: GroupRule, limit: int) -> Claimed:
    batches: list[GroupBatch] = []
    next_at: list[float] = []
    for queue in queues:
        for group, *figures in transaction.all(SQL.ripe_figures, queue=queue):
            size, oldest, newest = figures
            while size and len(batches) < limit:
                count = rule.ripe(size, oldest, newest, transaction.now)
                if not count:
                    next_at.append(rule.ripe_at(oldest, newest))
                    break
                batch = _claim(transaction, queue, group, count)
                if batch is not None:
                    batches.append(batch)
                size, oldest, newest = transaction.one(SQL.group_figures, queue=queue, group=group)
    return Claimed(batches, min(next_at, default=None))


def _claim(transaction: Transaction, queue: str, group: str, count: int) -> GroupBatch | None:
    """The `count` oldest members become a batch. None: some could not be read, so look at the group again."""
    rows = transaction.all(SQL.oldest_members, queue=queue, group=group, limit=count)
    members = list(sound(transaction, rows))
    if len(members) < len(rows):
        return None
    batch = GroupBatch(
        queue, group, uuid.uuid4().hex, [task for _, task in members], transaction.now + BATCH_LEASE
    )
    [key] = transaction.numbers(1)
    transaction.run(
        SQL.insert_batch, key=key, id=batch.id, queue=queue, group=group, expires_at=batch.expires_at
    )
    transaction.connection.executemany(SQL.claim_member, [(batch.id, row[0]) for row in rows])
    return batch


def release(transaction: Transaction, claimed: Claimed) -> None:
    """Batches that nobody got to know of go back to their groups at once."""
    for batch in claimed.batches:
        dissolve(transaction, batch.id)
        transaction.topics.add(signals.grouped(batch.queue))


def dissolve(transaction: Transaction, batch: str) -> None:
    """The members of a batch go back to their group, as old as they were."""
    members = transaction.all(SQL.batch_members, batch=batch)
    numbers = transaction.numbers(len(members))
    transaction.connection.executemany(
        SQL.release_member, [(number, row[0]) for row, number in zip(members, numbers, strict=True)]
    )
    transaction.run(SQL.delete_batch, batch=batch)


def merge_group(
    transaction: Transaction, batch: GroupBatch, merged: Entry, settings: Settings
) -> Admission | Replaced | None:
    if not transaction.one(SQL.batch_exists, batch=batch.id, queue=batch.queue):
        return None
    [answer] = enqueue(transaction, [merged], settings)
    if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
        members = transaction.all(SQL.batch_members, batch=batch.id)
        forget(transaction, members)
        transaction.run(SQL.delete_batch, batch=batch.id)
        transaction.ended += [TaskRef(row[1], row[2]) for row in members]
    return answer
