"""Groups: claim members as batches, replace a batch by one task."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.sqlite.operations.enqueue import enqueue
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.rows import delete, encode, make_room, message, sound, unlock
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.groups import (
    BATCH_LEASE,
    GroupBatch,
    GroupFailure,
    GroupPolicy,
    GroupRule,
    claim_expired,
    policy_id,
)
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique_locks import freed_by

#: Groups checked, and names added to or deleted from an index, per queue and transaction: other processes wait only
#: for a moment.
CHECKED, BUILT = 100, 1_000
#: Seconds for which the index of a set of rules is kept after its last use.
KEPT = 60.0


def claim_groups(transaction: Transaction, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    """See Broker.claim_groups."""
    batches: list[GroupBatch] = []
    next_at: list[float] = []
    rules, now = policy_id(policy), transaction.now
    for queue in queues:
        complete = _use_index(transaction, queue, rules)
        for (group,) in transaction.all(SQL.due_groups, queue=queue, rules=rules, now=now, limit=CHECKED):
            if len(batches) >= limit:
                break
            due = _check(transaction, queue, group, policy.rule_for(group), batches, limit)
            if due is None:
                transaction.run(SQL.delete_due, queue=queue, group=group, rules=rules)
            else:
                transaction.run(SQL.save_due, queue=queue, group=group, rules=rules, due=due)
        first = transaction.value(SQL.first_due, queue=queue, rules=rules)
        if first is not None or not complete:
            next_at.append(max(now, first) if complete else now)
    return Claimed(batches, min(next_at, default=None))


def _use_index(transaction: Transaction, queue: str, rules: str) -> bool:
    """Keep the index of these rules for the next minute, and build a part of it. Returns whether it is complete."""
    until, built_to = transaction.one(SQL.group_rules, queue=queue, rules=rules) or (0.0, "")
    if built_to is None and until > transaction.now + KEPT / 2:
        return True
    if built_to is not None:
        names = transaction.all(SQL.next_group_names, queue=queue, after=built_to, limit=BUILT)
        transaction.connection.executemany(SQL.index_group, [(queue, name, rules) for (name,) in names])
        built_to = names[-1][0] if len(names) == BUILT else None
    kept_until = transaction.now + KEPT
    transaction.run(SQL.save_group_rules, queue=queue, rules=rules, until=kept_until, built_to=built_to)
    return built_to is None


def drop_index(transaction: Transaction, queue: str) -> None:
    """Delete a part of an index that no server uses any more."""
    rules = transaction.value(SQL.unused_group_rules, queue=queue, now=transaction.now)
    if rules is None:
        return
    transaction.run(SQL.save_group_rules, queue=queue, rules=rules, until=0.0, built_to="")
    if transaction.run(SQL.shrink_index, queue=queue, rules=rules, limit=BUILT).rowcount < BUILT:
        transaction.run(SQL.delete_group_rules, queue=queue, rules=rules)


class Named(NamedTuple):
    """Groups that a policy names: the ripe ones, by queue, and when the first of the others will be ripe."""

    ripe: list[tuple[str, str]]
    next_at: float | None


def find_named(transaction: Transaction, queues: Sequence[str], policy: GroupPolicy) -> Named:
    """Look at the groups that a policy names. Only reads."""
    ripe: list[tuple[str, str]] = []
    next_at: list[float] = []
    now = transaction.now
    for queue in dict.fromkeys(queues):
        for group, rule in policy.rules.items():
            stats = _stats(transaction, queue, group, rule)
            if not stats.size:
                continue
            flushed, failure = (
                _flushed_until(transaction, queue, group),
                group_failure(transaction, queue, group),
            )
            retry_at = failure.retry_at if failure is not None else 0.0
            if rule.ripe(*stats, now, flushed, retry_at):
                ripe.append((queue, group))
            else:
                next_at.append(max(rule.ripe_at(*stats, retry_at), now + 0.001))
    return Named(ripe, min(next_at, default=None))


def claim_named(transaction: Transaction, found: Named, policy: GroupPolicy, limit: int) -> Claimed:
    """Claim the groups that `find_named` found ripe, as far as they still are."""
    batches: list[GroupBatch] = []
    next_at = [] if found.next_at is None else [found.next_at]
    for queue, group in found.ripe:
        if len(batches) >= limit:
            next_at.append(transaction.now)
            break
        due = _check(transaction, queue, group, policy.rule_for(group), batches, limit)
        if due is not None:
            next_at.append(max(due, transaction.now))
    return Claimed(batches, min(next_at, default=None))


def _check(
    transaction: Transaction,
    queue: str,
    group: str,
    rule: GroupRule | None,
    batches: list[GroupBatch],
    limit: int,
) -> float | None:
    """Claim a group as far as it is ripe. Returns when to check it next; None: not before it changes."""
    if rule is None:
        return None
    flushed = _flushed_until(transaction, queue, group)
    failure = group_failure(transaction, queue, group)
    retry_at = failure.retry_at if failure is not None else 0.0
    due: float | None = None
    while (stats := _stats(transaction, queue, group, rule)).size:
        count = rule.ripe(*stats, transaction.now, flushed, retry_at)
        if not count:
            due = max(rule.ripe_at(*stats, retry_at), transaction.now + 0.001)
            break
        if len(batches) >= limit:
            due = 0.0
            break
        batch = _claim(transaction, queue, group, count, failure, stats.oldest)
        if batch is not None:
            batches.append(batch)
    if flushed and (not stats.size or stats.oldest > flushed):
        transaction.run(SQL.delete_flush, queue=queue, group=group)
    return due


class _Stats(NamedTuple):
    """A group: its size, counted only as far as the rule needs it, and the times of oldest and newest member."""

    size: int
    oldest: float
    newest: float


def _stats(transaction: Transaction, queue: str, group: str, rule: GroupRule) -> _Stats:
    return _Stats(*transaction.one(SQL.group_stats, queue=queue, group=group, most=rule.max_batch))


def _flushed_until(transaction: Transaction, queue: str, group: str) -> float:
    """Members of this age or older are ripe because of a flush; 0: the group is not flushed."""
    return transaction.value(SQL.flushed_until, queue=queue, group=group) or 0.0


def flush_group(transaction: Transaction, queue: str, group: str) -> int:
    """See Inspection.flush_group."""
    existing(transaction, queue)
    size, _, newest = transaction.one(SQL.group_stats, queue=queue, group=group, most=-1)
    if size:
        transaction.run(SQL.flush_group, queue=queue, group=group, until=newest)
        transaction.topics.add(signals.grouped(queue))
    return int(size)


def group_failure(transaction: Transaction, queue: str, group: str) -> GroupFailure | None:
    """The failures of a group."""
    row = transaction.one(SQL.group_failure, queue=queue, group=group)
    return None if row is None else GroupFailure(*row)


def _claim(
    transaction: Transaction,
    queue: str,
    group: str,
    count: int,
    failure: GroupFailure | None,
    oldest_at: float,
) -> GroupBatch | None:
    """Claim the `count` oldest members as a batch. None: some were quarantined, so read the group's stats again."""
    rows = transaction.all(SQL.oldest_members, queue=queue, group=group, limit=count)
    members = list(sound(transaction, rows))
    if len(members) < len(rows):
        return None
    tasks = [task for _, task in members]
    expires_at = transaction.now + BATCH_LEASE
    batch = GroupBatch(queue, group, uuid.uuid4().hex, tasks, expires_at, failure, oldest_at)
    [key] = transaction.numbers(1)
    transaction.run(
        SQL.insert_batch,
        key=key,
        id=batch.id,
        queue=queue,
        group=group,
        expires_at=expires_at,
        oldest_at=oldest_at,
    )
    transaction.connection.executemany(SQL.claim_member, [(batch.id, row[0]) for row in rows])
    return batch


def return_batches(transaction: Transaction, claimed: Claimed) -> None:
    """Release claimed batches at once: their caller was cancelled."""
    for batch in claimed.batches:
        release_batch(transaction, batch.id)
        transaction.topics.add(signals.grouped(batch.queue))


def release_batch(transaction: Transaction, batch: str) -> None:
    """Return the members of a batch to their group, with their age unchanged."""
    members = transaction.all(SQL.batch_members, batch=batch)
    numbers = transaction.numbers(len(members))
    transaction.connection.executemany(
        SQL.release_member, [(number, row[0]) for row, number in zip(members, numbers, strict=True)]
    )
    transaction.run(SQL.delete_batch, batch=batch)


def expire_batches(transaction: Transaction, queue: str, limit: int) -> int:
    """Release up to `limit` batches whose claim has expired, which counts as a failure of their groups; returns their
    number."""
    expired = transaction.all(SQL.expired_batches, queue=queue, now=transaction.now, limit=limit)
    for batch, group, oldest_at in expired:
        before = group_failure(transaction, queue, group)
        _save_failure(transaction, queue, group, claim_expired(before, transaction.now, oldest_at))
        release_batch(transaction, batch)
        transaction.topics.add(signals.grouped(queue))
    return len(expired)


def _save_failure(transaction: Transaction, queue: str, group: str, failure: GroupFailure) -> None:
    """Store the failures of a group, and end its flush."""
    transaction.run(SQL.save_failure, queue=queue, group=group, **msgspec.structs.asdict(failure))
    transaction.run(SQL.delete_flush, queue=queue, group=group)


def renew_batches(transaction: Transaction, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
    """See Broker.renew_batches."""
    expires_at = transaction.now + lease
    return [
        transaction.run(SQL.renew_batch, batch=batch.id, queue=batch.queue, expires_at=expires_at).rowcount
        > 0
        for batch in batches
    ]


def return_batch(
    transaction: Transaction, batch: GroupBatch, failure: GroupFailure | None, *, archive: bool
) -> bool:
    """See Broker.return_batch."""
    if not transaction.one(SQL.batch_exists, batch=batch.id, queue=batch.queue):
        return False
    if archive and failure is not None:
        _archive_batch(transaction, batch, failure)
    else:
        if failure is not None:
            _save_failure(transaction, batch.queue, batch.group, failure)
        release_batch(transaction, batch.id)
        transaction.topics.add(signals.grouped(batch.queue))
    return True


def _archive_batch(transaction: Transaction, batch: GroupBatch, failure: GroupFailure) -> None:
    """Archive the members of a batch with the error of their group."""
    now = transaction.now
    rows = transaction.all(SQL.batch_members, batch=batch.id)
    numbers = transaction.numbers(len(rows))
    for row, number in zip(rows, numbers, strict=True):
        failed = msgspec.structs.replace(message(row), last_error=failure.error, last_failed_at=now)
        transaction.run(SQL.archive_member, key=row[0], now=now, seq=number, message=encode(failed))
        if failed.unique_key and freed_by(failed, TaskState.ARCHIVED):
            unlock(transaction, batch.queue, failed.unique_key, failed.id)
        transaction.ended.append(failed.ref)
    transaction.run(SQL.delete_batch, batch=batch.id)
    transaction.run(SQL.delete_failure, queue=batch.queue, group=batch.group)
    make_room(transaction, batch.queue, now, len(rows))


def merge_group(
    transaction: Transaction, batch: GroupBatch, merged: Entry, settings: Settings
) -> Admission | Replaced | None:
    """See Broker.merge_group."""
    if not transaction.one(SQL.batch_exists, batch=batch.id, queue=batch.queue):
        return None
    [answer] = enqueue(transaction, [merged], settings)
    if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
        _delete_members(transaction, batch)
    return answer


def delete_batch(transaction: Transaction, batch: GroupBatch) -> bool:
    """See Broker.delete_batch."""
    if not transaction.one(SQL.batch_exists, batch=batch.id, queue=batch.queue):
        return False
    _delete_members(transaction, batch)
    return True


def _delete_members(transaction: Transaction, batch: GroupBatch) -> None:
    """Delete a batch and its members."""
    members = transaction.all(SQL.batch_members, batch=batch.id)
    delete(transaction, members)
    transaction.run(SQL.delete_batch, batch=batch.id)
    transaction.run(SQL.delete_failure_merged, queue=batch.queue, group=batch.group)
    transaction.ended += [TaskRef(row[1], row[2]) for row in members]
