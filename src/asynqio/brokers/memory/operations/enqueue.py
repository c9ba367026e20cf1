"""Enqueue: admit entries and resolve uniqueness locks."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.contract.signals import Topic, entered
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.task.task import Entry
from asynqio.core.task.unique_locks import LockConflict, resolve_conflict


def enqueue(store: MemoryStore, now: float, entries: Sequence[Entry]) -> list[Admission | Replaced]:
    """See Broker.enqueue."""
    topics: set[Topic] = set()
    with store.lock:
        answers = [admit(store, entry, now, topics) for entry in entries]
    store.signals.publish(topics)
    return answers


def admit(store: MemoryStore, entry: Entry, now: float, topics: set[Topic]) -> Admission | Replaced:
    """Admit one entry, with the lock held; adds the topics to publish to `topics`."""
    message = entry.message
    queue = store.queue(message.queue)
    if entry.unique_ttl > 0 and (holder := queue.lock_holder(entry.lock, now)) is not None:
        record = queue.records.get(holder)
        state = record.state if record is not None and not record.batch else None
        conflict = resolve_conflict(entry, record.message if record is not None else None, state)
        if conflict is LockConflict.REFUSE:
            return Admission.DUPLICATE
        if conflict is LockConflict.CHANGE_HOLDER and record is not None:
            queue.change_holder(record, entry, now)
            topics.add(entered(record.state, message.queue))
            return Replaced(holder)
    if message.id in queue.records and not queue.make_room(message.id, now, finished=entry.replace_finished):
        return Admission.ID_CONFLICT
    queue.admit(entry, now)
    topics.add(entered(entry.state, message.queue))
    return Admission.ACCEPTED
