"""Stats of queues and groups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice

from asynqio.brokers.contract.limits import DAY
from asynqio.brokers.memory.storage.queue import Day, Queue
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.info import FRONT, DayStats, GroupStats, QueueStats, longest_waiting
from asynqio.core.task.message import TaskState


def queue_stats(store: MemoryStore, now: float, queues: Sequence[str]) -> list[QueueStats]:
    """See Inspection.stats."""
    with store.lock:
        return [_stats(store.existing(name), now) for name in queues]


def _stats(queue: Queue, now: float) -> QueueStats:
    day = queue.days.get(int(now // DAY)) or Day()
    oldest = longest_waiting(record.pending_since for record in islice(queue.pending.values(), FRONT))
    waiting = {state: len(timeline) for state, timeline in queue.timelines.items()}
    return QueueStats(
        queue=queue.name,
        paused=queue.paused,
        pending=len(queue.pending),
        active=len(queue.active),
        scheduled=waiting[TaskState.SCHEDULED],
        retry=waiting[TaskState.RETRY],
        archived=waiting[TaskState.ARCHIVED],
        completed=waiting[TaskState.COMPLETED],
        aggregating=len(queue.records) - len(queue.pending) - len(queue.active) - sum(waiting.values()),
        groups=len(queue.groups),
        latency=max(0.0, now - oldest) if oldest else 0.0,
        oldest_pending_at=oldest,
        overdue_since=_overdue_since(queue, now),
        processed=day.processed,
        failed=day.failed,
        processed_total=queue.total.processed,
        failed_total=queue.total.failed,
        evicted_total=queue.evicted,
    )


def _overdue_since(queue: Queue, now: float) -> float:
    """When the longest-overdue delayed task was due; 0: no task is overdue."""
    waiting = (queue.timelines[state] for state in (TaskState.SCHEDULED, TaskState.RETRY))
    due = min((timeline.next_at() for timeline in waiting if timeline), default=now + 1)
    return due if due <= now else 0.0


def paused_types(store: MemoryStore, queues: Sequence[str]) -> dict[str, dict[str, float]]:
    """See Broker.paused_types."""
    with store.lock:
        return {queue.name: dict(queue.paused_types) for queue in store.known(queues) if queue.paused_types}


def history(store: MemoryStore, now: float, queue: str, days: int) -> list[DayStats]:
    """See Inspection.history."""
    with store.lock:
        known = store.existing(queue).days
        today = int(now // DAY)
        found = [(day, known.get(day) or Day()) for day in range(today, today - days, -1)]
    return [
        DayStats(
            queue,
            datetime.fromtimestamp(day * DAY, UTC).strftime("%Y-%m-%d"),
            counts.processed,
            counts.failed,
        )
        for day, counts in found
    ]


def group_stats(store: MemoryStore, queue: str, names: Sequence[str] | None) -> list[GroupStats]:
    """See Inspection.groups."""
    with store.lock:
        known = store.existing(queue)
        return [
            GroupStats(name, len(members), members.next_at(), members.last_at(), known.failures.get(name))
            for name in sorted(known.groups if names is None else set(names))
            if (members := known.groups.get(name))
        ]


def group_names(store: MemoryStore, queue: str) -> list[str]:
    """See Inspection.group_names."""
    with store.lock:
        known = store.existing(queue)
        return sorted({*known.groups, *(batch.group for batch in known.batches.values())})
