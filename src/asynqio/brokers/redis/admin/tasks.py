"""Tasks by state, by group and by id, and the holders of uniqueness locks; changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import nsmallest
from typing import Any

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.redis.chunking import BATCH_SIZE, by_queue, chunks
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.operations.groups import group_names
from asynqio.brokers.redis.operations.quarantine import corrupt
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.errors import CorruptMessage

#: Members of groups read per call, about 1 ms.
MEMBERS_BATCH_SIZE = 2_000


async def tasks(session: Session, where: Where, page: Page) -> list[TaskInfo]:
    """See Inspection.tasks."""
    queue = await session.registry.require(where.queue)
    if where.state is TaskState.AGGREGATING:
        ids = await _members(session, queue, where.group, page.offset + page.size)
        refs = [TaskRef(queue.name, id) for id in ids[page.offset :]]
        return [info for info in await find(session, refs) if info is not None]
    container = f"{queue.prefix}{where.state.value}"
    cutoff = (
        session.archive_cutoff() if where.state is TaskState.ARCHIVED else math.floor(session.clock.now())
    )
    found: list[TaskInfo] = []
    first, end = page.offset, page.offset + page.size
    while first < end:
        size = min(end - first, BATCH_SIZE)
        args: list[Arg] = [where.state.value, first, first + size - 1, queue.task_prefix, cutoff]
        rows = await session.run(LUA.list_tasks, [container, queue.lease], args)
        if more := rows[-1:] == [b"+"]:
            rows.pop()
        found += [info_of(session, queue, row) for row in rows]
        if len(rows) < size and not more:
            break
        first += len(rows)
    return found


async def _members(session: Session, queue: QueueKeys, group: str, count: int) -> list[str]:
    """The ids of the oldest tasks in a group (or in all groups), claimed or not, oldest first."""
    names = [group] if group else [name async for some in group_names(session, queue) for name in some]
    batches = [
        decode_lossy(batch)
        for batch in await session.redis.command(queue.batches, "ZRANGE", queue.batches, 0, -1)
    ]
    keys = [queue.group(name) for name in names]
    keys += [batch for batch in batches if not group or batch.rpartition(":")[0] == queue.group(group)]
    found: dict[bytes, float] = {}
    for some in chunks(keys):
        found |= await _first_members(session, some, count)
    first = nsmallest(count, ((since, decode_lossy(id)) for id, since in found.items()))
    return [id for _, id in first]


async def _first_members(session: Session, keys: Sequence[str], count: int) -> dict[bytes, float]:
    """The first `count` ids of each key with their scores; each call reads a bounded number."""
    found: dict[bytes, float] = {}
    step = max(1, MEMBERS_BATCH_SIZE // len(keys))
    for first in range(0, count, step):
        answers = await session.run(LUA.group_members, keys, [first, min(first + step, count) - 1])
        for flat in answers:
            found |= zip(flat[::2], map(float, flat[1::2]), strict=True)
        keys = [key for key, flat in zip(keys, answers, strict=True) if len(flat) == 2 * step]
        if not keys:
            break
    return found


async def find(session: Session, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
    """See Inspection.find."""
    answers: list[TaskInfo | None] = [None] * len(refs)

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        header: list[Arg] = [queue.prefix, math.floor(session.clock.now()), session.archive_cutoff()]
        while indexes:
            ids = [refs[at].id for at in indexes]
            keys = [queue.lease, queue.scheduled, queue.retry, *(queue.task(id) for id in ids)]
            rows = await session.run(LUA.find_tasks, keys, [*header, *ids])
            for at, row in zip(indexes, rows, strict=False):
                answers[at] = info_of(session, queue, row) if row is not None else None
            indexes = indexes[len(rows) :]

    await by_queue([ref.queue for ref in refs], call)
    return answers


async def lock_holder(session: Session, name: str, key: str) -> LockHolder | None:
    """See Inspection.lock_holder."""
    now = session.clock.now()
    args: list[Arg] = [queue_keys(name).prefix, repr(now), session.archive_cutoff()]
    row = await session.run(LUA.lock_holder, [key], args)
    if row is None:
        return None
    id, expires_at, remaining = row
    return LockHolder(
        decode_lossy(id), float(expires_at) if expires_at is not None else now + remaining / 1_000
    )


def info_of(session: Session, queue: QueueKeys, row: Sequence[Any]) -> TaskInfo:
    """The snapshot of a row of list_tasks.lua or find_tasks.lua."""
    id, name, msg, since, result, progress, counters, score = row
    try:
        message = (
            decode_task(msg, counters) if msg is not None else corrupt(queue.name, decode_lossy(id), None)
        )
    except CorruptMessage:
        message = corrupt(queue.name, decode_lossy(id), msg)
    now = session.clock.now()
    facts: dict[str, Any] = {"result": result, "progress": progress}
    try:
        state = TaskState(name.decode())
    except ValueError:
        state = TaskState.ARCHIVED  # an unknown state: no server will process the task
    if state in (TaskState.SCHEDULED, TaskState.RETRY):
        facts["next_process_at"] = float(score or 0.0)
    elif state is TaskState.PENDING:
        facts["next_process_at"] = now
        facts["pending_since"] = float(since) / 1e9 if since else 0.0
    elif state is TaskState.ACTIVE:
        facts["is_orphaned"] = score is None or float(score) <= now
        facts["lease_expires_at"] = float(score or 0.0)
    return TaskInfo.of(message, state, **facts)
