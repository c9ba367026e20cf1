"""Collects the facts about one task, for `explain`."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.explain.model import Facts
from asynqio.core.info import GroupStats, QueueStats
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.errors import QueueNotFound


async def queues_with(store: Store, id: str) -> list[str]:
    """The queues that have a task of this id, by name."""
    queues = await store.queues()
    found = await store.find([TaskRef(queue, id) for queue in queues])
    return [queue for queue, info in zip(queues, found, strict=True) if info is not None]


async def facts_about(store: Store, ref: TaskRef) -> Facts:
    """All facts about a task now. Reads only."""
    [info] = await store.find([ref])
    now = store.clock.now()
    stats = await _stats(store, ref.queue)
    if info is None:
        elsewhere = [queue for queue in await queues_with(store, ref.id) if queue != ref.queue]
        return Facts(ref, now, stats=stats, elsewhere=elsewhere)
    [attempts] = await store.attempts([ref])
    holder = await store.lock_holder(ref.queue, info.unique_key) if info.unique_key else None
    return Facts(
        ref,
        now,
        info,
        attempts,
        stats,
        await store.servers(),
        await _group(store, info),
        holder,
        (await store.paused_types([ref.queue])).get(ref.queue, {}),
    )


async def _stats(store: Store, queue: str) -> QueueStats | None:
    try:
        [stats] = await store.stats([queue])
    except QueueNotFound:
        return None
    return stats


async def _group(store: Store, info: TaskInfo) -> GroupStats | None:
    if info.state is not TaskState.AGGREGATING:
        return None
    return next(iter(await store.groups(info.queue, [info.group])), None)
