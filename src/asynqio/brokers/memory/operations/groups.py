"""Groups: claim members as batches, replace a batch by one task."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.operations.enqueue import admit
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupPolicy
from asynqio.core.task.task import Entry


def claim_groups(
    store: MemoryStore, now: float, queues: Sequence[str], policy: GroupPolicy, limit: int
) -> Claimed:
    """See Broker.claim_groups."""
    batches: list[GroupBatch] = []
    next_at: list[float] = []
    with store.lock:
        for queue in store.known(queues):
            for group in list(queue.groups):
                rule = policy.rule_for(group)
                while rule and len(batches) < limit and (members := queue.groups.get(group)):
                    oldest, newest = members.next_at(), members.last_at()
                    flushed = queue.flushed_until(group)
                    count = rule.ripe(len(members), oldest, newest, now, flushed)
                    if not count:
                        next_at.append(rule.ripe_at(oldest, newest))
                        break
                    batches.append(queue.claim(group, count, uuid.uuid4().hex, now + BATCH_LEASE))
    return Claimed(batches, min(next_at, default=None))


def merge_group(
    store: MemoryStore, now: float, batch: GroupBatch, merged: Entry
) -> Admission | Replaced | None:
    """See Broker.merge_group."""
    topics: set[Topic] = set()
    with store.lock:
        queue = store.queues.get(batch.queue)
        if queue is None or batch.id not in queue.batches:
            return None
        answer = admit(store, merged, now, topics)
        if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
            queue.delete_batch(batch)
    topics.update(signals.ended(message.ref) for message in batch.messages)
    topics.update(store.changed(message.ref for message in batch.messages))
    store.signals.publish(topics)
    return answer


def flush_group(store: MemoryStore, queue: str, group: str) -> int:
    """See Inspection.flush_group."""
    with store.lock:
        members = store.existing(queue).flush(group)
    store.signals.publish([signals.grouped(queue)])
    return members
