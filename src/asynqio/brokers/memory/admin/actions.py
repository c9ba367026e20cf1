"""Operator actions on tasks, and pausing of queues and task types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.inspection import REWRITABLE, Where
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.record import Record
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import freed_by, moved_key


def act(
    store: MemoryStore, now: float, action: Action, refs: Sequence[TaskRef], state: TaskState | None
) -> list[Moved]:
    """See Inspection.move."""
    answers = []
    with store.lock:
        for ref in refs:
            queue, record = store.find(ref, now)
            if queue is None or record is None:
                answers.append(Moved.NOT_FOUND)
            elif state is not None and record.state is not state:
                answers.append(Moved.WRONG_STATE)
            else:
                answers.append(_act(queue, record, action, now))
    _publish(store, action, refs)
    return answers


def act_on_all(store: MemoryStore, now: float, action: Action, where: Where) -> int:
    """See Inspection.move_all."""
    with store.lock:
        queue = store.existing(where.queue)
        records = list(queue.in_order(where.state, where.group, now))
        moved = [record for record in records if _act(queue, record, action, now) is Moved.DONE]
    _publish(store, action, [record.message.ref for record in moved])
    return len(moved)


def _act(queue: Queue, record: Record, action: Action, now: float) -> Moved:
    if record.state not in action.origins or record.batch:
        return Moved.WRONG_STATE
    queue.leave(record)
    if action.target is None:
        queue.delete(record)
    else:
        queue.enter(record, action.target, now)
        if freed_by(record.message, action.target):
            queue.unlock(record.message)
    return Moved.DONE


def _publish(store: MemoryStore, action: Action, refs: Sequence[TaskRef]) -> None:
    if action.target is TaskState.PENDING:
        store.signals.publish({signals.pending(ref.queue) for ref in refs})
    else:
        store.signals.publish([signals.ended(ref) for ref in refs])
    store.signals.publish(store.changed(refs))


def rewrite(store: MemoryStore, now: float, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
    """See Inspection.rewrite."""
    answers = []
    with store.lock:
        for ref, payload in payloads.items():
            queue, record = store.find(ref, now)
            if queue is None or record is None:
                answers.append(Moved.NOT_FOUND)
            elif record.state not in REWRITABLE:
                answers.append(Moved.WRONG_STATE)
            else:
                _rewrite(queue, record, payload, now)
                answers.append(Moved.DONE)
    return answers


def _rewrite(queue: Queue, record: Record, payload: bytes, now: float) -> None:
    old = record.message
    key = moved_key(old, payload)
    record.message = msgspec.structs.replace(old, payload=payload, unique_key=key)
    held = queue.locks.get(old.unique_key)
    if key and held is not None and held[0] == old.id:
        del queue.locks[old.unique_key]
        if queue.lock_holder(key, now) is None:
            queue.locks[key] = held


def pause(store: MemoryStore, queue: str, paused: bool) -> bool:
    """See Inspection.pause."""
    with store.lock:
        found = store.queue(queue) if paused else store.queues.get(queue)
        changed = found is not None and found.paused is not paused
        if found is not None:
            found.paused = paused
    if not paused:
        store.signals.publish([signals.pending(queue)])
    return changed


def pause_type(store: MemoryStore, now: float, queue: str, type: str, paused: bool) -> bool:
    """See Inspection.pause_type."""
    with store.lock:
        found = store.queue(queue) if paused else store.queues.get(queue)
        changed = found is not None and (type in found.paused_types) is not paused
        if found is not None and changed:
            if paused:
                found.paused_types[type] = now
            else:
                del found.paused_types[type]
    store.signals.publish([signals.types(queue)])
    return changed
