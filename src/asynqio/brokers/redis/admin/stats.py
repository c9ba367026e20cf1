"""Looking at what is stored; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from typing import Any

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, day_of, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.operations.groups import group_names
from asynqio.brokers.redis.operations.quarantine import corrupt, shown
from asynqio.brokers.redis.scripts.batches import BATCH_SIZE, by_queue, chunks, together
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.info import FRONT, GROUPS_ADDED, DayStats, GroupStats, QueueStats, longest_waiting
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.errors import CorruptMessage, QueueNotFound


async def queues(session: Session) -> list[str]:
    """All known queues by name."""
    names = await session.redis.command(QUEUES, "SMEMBERS", QUEUES)
    return sorted(shown(name) for name in names)


async def known(session: Session, name: str) -> QueueKeys:
    """The keys of a queue. Raises QueueNotFound."""
    if not await session.exists(name):
        raise QueueNotFound(name)
    return queue_keys(name)


#: Members of groups read by one call, about 1 ms.
MEMBERS_TOGETHER = 2_000


# --- figures --------------------------------------------------------------------------------------


async def stats(session: Session, names: Sequence[str]) -> list[QueueStats]:
    return await together([_stats(session, name) for name in names]) if names else []


async def _stats(session: Session, name: str) -> QueueStats:
    queue = await known(session, name)
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
    figures = await session.run(LUA.stats, keys, [queue.prefix, GROUPS_ADDED, FRONT])
    pending, active, scheduled, retry, archived, completed, paused = figures[:7]
    processed, failed, processed_total, failed_total = figures[7:11]
    aggregating, groups, evicted, quarantined, estimated, *dues = figures[11:18]
    now = session.clock.now()
    oldest = longest_waiting(float(since) / 1e9 for since in figures[18:])
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
    keys = [queue_keys(name).paused_types for name in names]
    answers = await together([session.redis.command(key, "HGETALL", key) for key in keys]) if keys else []
    found: dict[str, dict[str, float]] = {}
    for name, answer in zip(names, answers, strict=True):
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
        if types := {shown(type): float(since) for type, since in pairs}:
            found[name] = dict(sorted(types.items()))
    return found


async def history(session: Session, name: str, days: int) -> list[DayStats]:
    queue = await known(session, name)
    today = int(session.clock.now() // 86_400)
    names = [day_of(today - back) for back in range(days)]
    keys = [key for day in names for key in (queue.processed_on(day), queue.failed_on(day))]
    found = await session.redis.command(queue.processed, "MGET", *keys) if keys else []
    figures = [int(value) if value and value.isdigit() else 0 for value in found]
    return [
        DayStats(name, day, processed, failed)
        for day, processed, failed in zip(names, figures[::2], figures[1::2], strict=True)
    ]


async def groups(session: Session, name: str) -> list[GroupStats]:
    queue = await known(session, name)
    found = []
    async for names in group_names(session, queue):
        sizes = await session.run(LUA.groups, [queue.group(group) for group in names], []) if names else []
        found += [
            GroupStats(group, size[0], float(size[1]), float(size[2]))
            for group, size in zip(names, sizes, strict=True)
            if size is not None
        ]
    return sorted(found, key=lambda group: group.group)


# --- tasks ----------------------------------------------------------------------------------------


async def tasks(session: Session, where: Where, page: Page) -> list[TaskInfo]:
    queue = await known(session, where.queue)
    if where.state is TaskState.AGGREGATING:
        ids = await _members(session, queue, where.group, page.offset + page.size)
        refs = [TaskRef(queue.name, id) for id in ids[page.offset :]]
        return [info for info in await find(session, refs) if info is not None]
    container = f"{queue.prefix}{where.state.value}"
    found: list[TaskInfo] = []
    for first in range(page.offset, page.offset + page.size, BATCH_SIZE):
        last = min(first + BATCH_SIZE, page.offset + page.size) - 1
        args: list[Word] = [where.state.value, first, last, queue.task_prefix]
        rows = await session.run(LUA.list, [container, queue.lease], args)
        found += [info_of(session, queue, row) for row in rows]
        if len(rows) < BATCH_SIZE:
            break
    return found


async def _members(session: Session, queue: QueueKeys, group: str, count: int) -> list[str]:
    """The first tasks that wait in a group (or in all), claimed or not, oldest first."""
    names = [group] if group else [name async for some in group_names(session, queue) for name in some]
    batches = [
        shown(batch) for batch in await session.redis.command(queue.batches, "ZRANGE", queue.batches, 0, -1)
    ]
    keys = [queue.group(name) for name in names]
    keys += [batch for batch in batches if not group or batch.rpartition(":")[0] == queue.group(group)]
    found: dict[bytes, float] = {}
    for some in chunks(keys):
        found |= await _first_members(session, some, count)
    first = nsmallest(count, ((since, shown(id)) for id, since in found.items()))
    return [id for _, id in first]


async def _first_members(session: Session, keys: Sequence[str], count: int) -> dict[bytes, float]:
    """Of each key the first `count` ids, and since when they wait; not too many by one call."""
    found: dict[bytes, float] = {}
    step = max(1, MEMBERS_TOGETHER // len(keys))
    for first in range(0, count, step):
        answers = await session.run(LUA.members, keys, [first, min(first + step, count) - 1])
        for flat in answers:
            found |= zip(flat[::2], map(float, flat[1::2]), strict=True)
        keys = [key for key, flat in zip(keys, answers, strict=True) if len(flat) == 2 * step]
        if not keys:
            break
    return found


async def find(session: Session, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
    answers: list[TaskInfo | None] = [None] * len(refs)

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        ids = [refs[at].id for at in places]
        keys = [queue.lease, queue.scheduled, queue.retry, *(queue.task(id) for id in ids)]
        for at, row in zip(places, await session.run(LUA.find, keys, ids), strict=True):
            answers[at] = info_of(session, queue, row) if row is not None else None

    await by_queue([ref.queue for ref in refs], call)
    return answers


async def lock_holder(session: Session, name: str, key: str) -> LockHolder | None:
    now = session.clock.now()
    row = await session.run(LUA.holder, [key], [queue_keys(name).prefix, repr(now)])
    if row is None:
        return None
    id, ends, left = row
    return LockHolder(shown(id), float(ends) if ends is not None else now + left / 1_000)


def info_of(session: Session, queue: QueueKeys, row: Sequence[Any]) -> TaskInfo:
    """The snapshot of a row that scripts/list.lua or find.lua read."""
    id, name, msg, since, result, progress, strikes, score = row
    try:
        message = decode_task(msg, strikes) if msg is not None else corrupt(queue.name, shown(id), None)
    except CorruptMessage:
        message = corrupt(queue.name, shown(id), msg)
    now = session.clock.now()
    facts: dict[str, Any] = {"result": result, "progress": progress}
    try:
        state = TaskState(name.decode())
    except ValueError:
        state = TaskState.ARCHIVED  # a state that nobody knows: the task is as good as dead
    if state in (TaskState.SCHEDULED, TaskState.RETRY):
        facts["next_process_at"] = float(score or 0.0)
    elif state is TaskState.PENDING:
        facts["next_process_at"] = now
        facts["pending_since"] = float(since) / 1e9 if since else 0.0
    elif state is TaskState.ACTIVE:
        facts["is_orphaned"] = score is None or float(score) <= now
        facts["lease_expires_at"] = float(score or 0.0)
    return TaskInfo.of(message, state, **facts)
