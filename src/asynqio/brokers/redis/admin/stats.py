"""Statistics of queues and groups; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.redis.chunking import chunks, gather
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, day_of, decode_lossy, queue_keys
from asynqio.brokers.redis.operations.groups import decode_failure, group_names
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, can_keep
from asynqio.core.info import FRONT, GROUPS_SUMMED, DayStats, GroupStats, QueueStats, longest_waiting


async def queues(session: Session) -> list[str]:
    """The names of all queues, sorted. Those that a cluster cannot keep are left out: Go registers a name before it
    fails, and no call about several queues would work with it."""
    names = map(decode_lossy, await session.redis.command(QUEUES, "SMEMBERS", QUEUES))
    return sorted(name for name in names if can_keep(session.settings, name))


async def stats(session: Session, names: Sequence[str]) -> list[QueueStats]:
    """See Inspection.stats."""
    return await gather([_stats(session, name) for name in names]) if names else []


async def _stats(session: Session, name: str) -> QueueStats:
    queue = await session.registry.require(name)
    today = session.today()
    keys = [
        queue.pending,
        queue.active,
        queue.scheduled,
        queue.retry,
        queue.archived,
        queue.completed,
        queue.paused,
        queue.processed_on(today),
        queue.failed_on(today),
        queue.processed,
        queue.failed,
        queue.groups,
        queue.batches,
        queue.counts,
    ]
    row = await session.run(LUA.queue_stats, keys, [queue.prefix, GROUPS_SUMMED, FRONT])
    pending, active, scheduled, retry, archived, completed, paused = row[:7]
    processed, failed, processed_total, failed_total = row[7:11]
    aggregating, groups, evicted, quarantined, estimated, *dues = row[11:18]
    now = session.clock.now()
    oldest = longest_waiting(float(since) / 1e9 for since in row[18:])
    due = min((float(score) for score in dues if score is not None), default=now + 1)
    return QueueStats(
        queue=name,
        paused=bool(paused),
        pending=pending,
        active=active,
        scheduled=scheduled,
        retry=retry,
        archived=archived,
        completed=completed,
        aggregating=aggregating,
        groups=groups,
        estimated=bool(estimated),
        latency=max(0.0, now - oldest) if oldest else 0.0,
        oldest_pending_at=oldest,
        overdue_since=due if due <= now else 0.0,
        processed=processed,
        failed=failed,
        processed_total=processed_total,
        failed_total=failed_total,
        evicted_total=evicted,
        quarantined_total=quarantined,
    )


async def paused_types(session: Session, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """See Broker.paused_types."""
    keys = [queue_keys(name).paused_types for name in names]
    answers = await gather([session.redis.command(key, "HGETALL", key) for key in keys]) if keys else []
    found: dict[str, dict[str, float]] = {}
    for name, answer in zip(names, answers, strict=True):
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        if types := {decode_lossy(type): float(since) for type, since in pairs}:
            found[name] = dict(sorted(types.items()))
    return found


async def history(session: Session, name: str, days: int) -> list[DayStats]:
    """See Inspection.history."""
    queue = await session.registry.require(name)
    today = int(session.clock.now() // 86_400)
    names = [day_of(today - back) for back in range(days)]
    keys = [key for day in names for key in (queue.processed_on(day), queue.failed_on(day))]
    found = await session.redis.command(queue.processed, "MGET", *keys) if keys else []
    counts = [int(value) if value and value.isdigit() else 0 for value in found]
    return [
        DayStats(name, day, processed, failed)
        for day, processed, failed in zip(names, counts[::2], counts[1::2], strict=True)
    ]


async def groups(session: Session, name: str, only: Sequence[str] | None) -> list[GroupStats]:
    """See Inspection.groups."""
    queue = await session.registry.require(name)
    if only is not None:
        found = [await _group_stats(session, queue, some) for some in chunks(sorted(set(only)))]
    else:
        found = [await _group_stats(session, queue, some) async for some in group_names(session, queue)]
    return sorted((group for some in found for group in some), key=lambda group: group.group)


async def _group_stats(session: Session, queue: QueueKeys, names: Sequence[str]) -> list[GroupStats]:
    if not names:
        return []
    keys = [queue.failures, *(queue.group(group) for group in names)]
    sizes = await session.run(LUA.group_stats, keys, list(names))
    return [
        GroupStats(group, size[0], float(size[1]), float(size[2]), decode_failure(size[3]))
        for group, size in zip(names, sizes, strict=True)
        if size is not None
    ]
