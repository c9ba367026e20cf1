"""Find and list tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.task.message import TaskInfo, TaskRef
from asynqio.core.task.unique import LockHolder


def list_tasks(store: MemoryStore, now: float, where: Where, page: Page) -> list[TaskInfo]:
    """See Inspection.tasks."""
    with store.lock:
        queue = store.existing(where.queue)
        records = islice(queue.in_order(where.state, where.group, now), page.offset, page.offset + page.size)
        return [queue.info(record, now) for record in records]


def find(store: MemoryStore, now: float, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
    """See Inspection.find."""
    with store.lock:
        found: list[TaskInfo | None] = []
        for ref in refs:
            queue, record = store.find(ref, now)
            found.append(queue.info(record, now) if queue and record else None)
        return found


def lock_holder(store: MemoryStore, now: float, queue: str, key: str) -> LockHolder | None:
    """See Inspection.lock_holder."""
    with store.lock:
        known = store.queues.get(queue)
        if known is None or not known.lock_holder(key, now):
            return None
        return LockHolder(*known.locks[key])
