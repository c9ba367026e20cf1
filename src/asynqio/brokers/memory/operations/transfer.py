"""Transfer tasks to another queue."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import TransferTo
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import in_queue


def transfer(store: MemoryStore, now: float, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    """See Inspection.transfer."""
    topics: set[Topic] = set()
    with store.lock:
        answers = [_transfer(store, now, ref, target, topics) for ref in refs]
    store.signals.publish(topics)
    return answers


def _transfer(store: MemoryStore, now: float, ref: TaskRef, target: str, topics: set[Topic]) -> Moved:
    origin, record = store.find(ref, now)
    if origin is None or record is None:
        return Moved.NOT_FOUND
    if record.state not in TransferTo.origins or ref.queue == target:
        return Moved.WRONG_STATE
    before = record.message
    after = in_queue(before, target)
    destination = store.queues.get(target)
    holder, until = origin.locks.get(before.unique_key, ("", 0.0))
    holds = holder == ref.id and until > now
    if destination is not None and holds and destination.lock_holder(after.unique_key, now):
        return Moved.DUPLICATE
    if destination is not None and not destination.make_room(ref.id, now):
        return Moved.ID_CONFLICT
    destination = store.queue(target)
    origin.leave(record)
    origin.delete(record)
    record.message = after
    destination.records[ref.id] = record
    if holds:
        destination.locks[after.unique_key] = (ref.id, until)
    destination.enter(record, record.state, now if record.state is TaskState.PENDING else record.at)
    topics |= {
        signals.ended(ref),
        *store.changed([ref]),
        signals.pending(target),
        signals.due(target),
    }
    return Moved.DONE
