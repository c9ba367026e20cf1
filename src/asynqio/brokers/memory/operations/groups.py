"""Groups: claim members as batches, replace a batch by one task."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.operations.enqueue import admit
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupFailure, GroupPolicy, GroupRule, policy_id
from asynqio.core.task.task import Entry


def claim_groups(
    store: MemoryStore, now: float, queues: Sequence[str], policy: GroupPolicy, limit: int
) -> Claimed:
    """See Broker.claim_groups."""
    batches: list[GroupBatch] = []
    next_at: list[float] = []
    with store.lock:
        for queue in store.known(queues):
            if policy.exact:
                next_at += _claim_named(queue, policy, now, batches, limit)
                continue
            due = queue.index.use(policy_id(policy), queue.groups, now)
            while due and due.next_at() <= now and len(batches) < limit:
                group = due.pop()
                at = _check(queue, group, policy.rule_for(group), now, batches, limit)
                if at is not None:
                    due.put(group, at)
                else:
                    due.remove(group)
            if due:
                next_at.append(due.next_at())
    return Claimed(batches, min(next_at, default=None))


def _claim_named(
    queue: Queue, policy: GroupPolicy, now: float, batches: list[GroupBatch], limit: int
) -> list[float]:
    """Claim the groups that a policy names, as far as they are ripe. Returns when to check them next."""
    times = (_check(queue, group, rule, now, batches, limit) for group, rule in policy.rules.items())
    return [at for at in times if at is not None]


def _check(
    queue: Queue, group: str, rule: GroupRule | None, now: float, batches: list[GroupBatch], limit: int
) -> float | None:
    """Claim a group as far as it is ripe. Returns when to check it next; None: not before it changes."""
    if rule is None:
        return None
    failure = queue.failures.get(group)
    retry_at = failure.retry_at if failure is not None else 0.0
    while members := queue.groups.get(group):
        size, oldest, newest = len(members), members.next_at(), members.last_at()
        count = rule.ripe(size, oldest, newest, now, queue.flushed_until(group), retry_at)
        if not count:
            return max(rule.ripe_at(size, oldest, newest, retry_at), now + 0.001)
        if len(batches) >= limit:
            return 0.0
        batches.append(queue.claim(group, count, uuid.uuid4().hex, now + BATCH_LEASE))
    return None


def renew_batches(store: MemoryStore, now: float, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
    """See Broker.renew_batches."""
    with store.lock:
        return [
            (queue := store.queues.get(batch.queue)) is not None and queue.renew(batch, now + lease)
            for batch in batches
        ]


def return_batch(
    store: MemoryStore, now: float, batch: GroupBatch, failure: GroupFailure | None, *, archive: bool
) -> bool:
    """See Broker.return_batch."""
    topics: set[Topic] = {signals.grouped(batch.queue)}
    with store.lock:
        queue = store.queues.get(batch.queue)
        held = queue.batches.get(batch.id) if queue is not None else None
        if queue is None or held is None:
            return False
        if archive and failure is not None:
            queue.archive_batch(held, failure, now)
            topics.update(signals.ended(message.ref) for message in held.messages)
        else:
            queue.release(held, failure)
        topics.update(store.changed(message.ref for message in held.messages))
    store.signals.publish(topics)
    return True


def merge_group(
    store: MemoryStore, now: float, batch: GroupBatch, merged: Entry
) -> Admission | Replaced | None:
    """See Broker.merge_group."""
    topics: set[Topic] = set()
    with store.lock:
        queue = store.queues.get(batch.queue)
        held = queue.batches.get(batch.id) if queue is not None else None
        if queue is None or held is None:
            return None
        answer = admit(store, merged, now, topics)
        if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
            queue.delete_batch(held)
    store.signals.publish(topics | _ended(store, held))
    return answer


def delete_batch(store: MemoryStore, batch: GroupBatch) -> bool:
    """See Broker.delete_batch."""
    with store.lock:
        queue = store.queues.get(batch.queue)
        held = queue.batches.get(batch.id) if queue is not None else None
        if queue is None or held is None:
            return False
        queue.delete_batch(held)
    store.signals.publish(_ended(store, held))
    return True


def _ended(store: MemoryStore, batch: GroupBatch) -> set[Topic]:
    """The topics of members that may have ended."""
    refs = [message.ref for message in batch.messages]
    return {signals.ended(ref) for ref in refs} | set(store.changed(refs))


def flush_group(store: MemoryStore, queue: str, group: str) -> int:
    """See Inspection.flush_group."""
    with store.lock:
        members = store.existing(queue).flush(group)
    store.signals.publish([signals.grouped(queue)])
    return members
