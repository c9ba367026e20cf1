"""Transitions caused by time: forward due tasks, find expired leases, sweep."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Expired, Forwarded, Swept
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskState

DELAYED = (TaskState.SCHEDULED, TaskState.RETRY)


def forward(store: MemoryStore, now: float, queues: Sequence[str], limit: int) -> Forwarded:
    """See Broker.forward."""
    moved = 0
    topics: set[Topic] = set()
    with store.lock:
        known = store.known(queues)
        for queue in known:
            while moved < limit and (state := _next_due(queue, now)):
                record = queue.records[queue.timelines[state].pop()]
                target = TaskState.AGGREGATING if record.message.group else TaskState.PENDING
                queue.enter(record, target, now)
                topics.add(signals.entered(target, queue.name))
                topics.update(store.changed([record.message.ref]))
                moved += 1
        next_at = min(
            (
                queue.timelines[state].next_at()
                for queue in known
                for state in DELAYED
                if queue.timelines[state]
            ),
            default=None,
        )
    store.signals.publish(topics)
    return Forwarded(moved, next_at)


def _next_due(queue: Queue, now: float) -> TaskState | None:
    """The state that holds the earliest due task; None: no task is due."""
    due = [
        (timeline.next_at(), state)
        for state in DELAYED
        if (timeline := queue.timelines[state]) and timeline.next_at() <= now
    ]
    return min(due)[1] if due else None


def expired(store: MemoryStore, now: float, queues: Sequence[str], limit: int) -> Expired:
    """See Broker.expired."""
    with store.lock:
        active = [record for queue in store.known(queues) for record in queue.active.values()]
        active.sort(key=lambda record: record.at)
        leases = [Lease(record.message, record.at, record.token) for record in active if record.at <= now]
        next_at = next((record.at for record in active if record.at > now), None)
    return Expired(leases[:limit], next_at)


def sweep(store: MemoryStore, now: float, queues: Sequence[str], limit: int) -> Swept:
    """See Broker.sweep."""
    deleted = 0
    next_at: list[float] = []
    topics: set[Topic] = set()
    with store.lock:
        for queue in store.known(queues):
            completed = queue.timelines[TaskState.COMPLETED]
            while deleted < limit and completed and completed.next_at() <= now:
                record = queue.records[completed.pop()]
                queue.delete(record)
                topics.add(signals.ended(record.message.ref))
                topics.update(store.changed([record.message.ref]))
                deleted += 1
            if completed:
                next_at.append(completed.next_at())
            queue.trim(now)
            for batch in [batch for batch in queue.batches.values() if batch.expires_at <= now]:
                queue.expire(batch, now)
                topics.add(signals.grouped(queue.name))
            next_at.extend(batch.expires_at for batch in queue.batches.values())
            for key in [key for key, (_, until) in queue.locks.items() if until <= now]:
                del queue.locks[key]
    store.signals.publish(topics)
    return Swept(deleted, min(next_at, default=None))
