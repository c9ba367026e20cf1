"""Operator actions: run, archive, delete, rewrite, pause."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.redis.admin.scan import group_names, members, position_of
from asynqio.brokers.redis.chunking import BATCH_SIZE, by_queue, gather
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.small_write import small_write
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import moved_key
from asynqio.errors import CorruptMessage

#: What scripts return for one task.
_ANSWERS = {ord("1"): Moved.DONE, ord("0"): Moved.NOT_FOUND, ord("2"): Moved.WRONG_STATE}
_ELSEWHERE = ord("3")
#: Pending tasks that one call searches, about 0.2 ms: tasks that were listed together are found if at most DEQUEUED
#: tasks were dequeued since.
NEAR, DEQUEUED = 1_000, 1_000


async def move(
    session: Session, action: Action, refs: Sequence[TaskRef], state: TaskState | None, near: str
) -> list[Moved]:
    """See Inspection.move."""
    answers = [Moved.NOT_FOUND] * len(refs)

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        ids = [refs[at].id for at in indexes]
        if state is TaskState.PENDING:
            reply = await _move_pending(session, queue, action, ids, near)
        else:
            reply = await _move(session, queue, action, ids, only=state.value if state else "")
        for at, char in zip(indexes, reply, strict=True):
            answers[at] = _ANSWERS[char]

    await by_queue([ref.queue for ref in refs], call)
    return answers


async def _move_pending(
    session: Session, queue: QueueKeys, action: Action, ids: Sequence[str], near: str
) -> bytes:
    """Move pending tasks that were listed near a cursor.

    Since then they can only have moved towards the front, unless many tasks were handed back there. Search backwards
    from the cursor; tasks that are not found are searched one by one.
    """
    answers = bytearray(b"3" * len(ids))
    last = position_of(near) + NEAR
    while last >= 0 and (remaining := [at for at, char in enumerate(answers) if char == _ELSEWHERE]):
        first = max(0, last - NEAR - DEQUEUED)
        reply = await _move(
            session, queue, action, [ids[at] for at in remaining], only="pending", positions=(first, last)
        )
        for at, char in zip(remaining, reply, strict=True):
            answers[at] = char
        last = first - 1
    for at in [at for at, char in enumerate(answers) if char == _ELSEWHERE]:
        answers[at] = (await _move(session, queue, action, [ids[at]], only="pending"))[0]
    return bytes(answers)


async def _move(
    session: Session,
    queue: QueueKeys,
    action: Action,
    ids: Sequence[str],
    *,
    only: str = "",
    positions: tuple[int, int] = (-1, -1),
) -> bytes:
    now = session.clock.now()
    keys = [queue.pending, queue.archived, queue.groups, queue.batches, *(queue.task(id) for id in ids)]
    target = action.target.value if action.target is not None else ""
    args: list[Arg] = [target, queue.prefix, math.floor(now), session.now_ns()]
    args += (session.archive_limit, session.archive_cutoff(), only, *positions, *ids)
    reply = await session.run(LUA.move_tasks, keys, args)
    assert isinstance(reply, bytes)
    return reply


async def move_all(session: Session, action: Action, where: Where) -> int:
    """See Inspection.move_all. In atomic steps; tasks that enter the state meanwhile may or may not be moved."""
    queue = await session.registry.require(where.queue)
    if where.state not in action.origins:
        return 0
    if where.state is TaskState.AGGREGATING:
        groups = [where.group] if where.group else await group_names(session, queue.name)
        replies = [
            await _move(session, queue, action, ids)
            for group in groups
            async for ids in members(session, queue, group)
        ]
        return sum(reply.count(b"1") for reply in replies)
    moved = skipped = 0
    remaining = await _size(session, queue, where.state)
    while remaining > 0:
        ids = await _first_ids(session, queue, where.state, skipped, min(remaining, BATCH_SIZE))
        if not ids:
            break
        remaining -= len(ids)
        done = (await _move(session, queue, action, ids)).count(b"1")
        moved += done
        skipped += len(ids) - done
    return moved


async def _size(session: Session, queue: QueueKeys, state: TaskState) -> int:
    key = f"{queue.prefix}{state.value}"
    return int(await session.redis.command(key, "LLEN" if state is TaskState.PENDING else "ZCARD", key))


async def _first_ids(
    session: Session, queue: QueueKeys, state: TaskState, skipped: int, count: int
) -> list[str]:
    """The oldest tasks of a state after the skipped ones. At this end, changing a list is fast."""
    key = f"{queue.prefix}{state.value}"
    if state is TaskState.PENDING:
        found = await session.redis.command(key, "LRANGE", key, -skipped - count, -skipped - 1)
        found.reverse()
    else:
        found = await session.redis.command(key, "ZRANGE", key, skipped, skipped + count - 1)
    return [decode_lossy(id) for id in found]


async def rewrite(session: Session, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
    """See Inspection.rewrite."""
    if not payloads:
        return []
    return await gather([_rewrite(session, ref, payload) for ref, payload in payloads.items()])


async def _rewrite(session: Session, ref: TaskRef, payload: bytes) -> Moved:
    queue = queue_keys(ref.queue)
    key = queue.task(ref.id)
    while True:
        stored = await session.redis.command(key, "HGET", key, "msg")
        if stored is None:
            return Moved.NOT_FOUND
        try:
            message = decode_task(stored)
        except CorruptMessage:
            return Moved.WRONG_STATE
        old = message.unique_key
        new = moved_key(message, payload)
        after = msgspec.structs.replace(message, payload=payload, unique_key=new)
        args: list[Arg] = [stored, encode_task(after), ref.id, old, new, queue.prefix]
        args += (repr(session.clock.now()), session.archive_cutoff())
        answer = await session.run(LUA.rewrite_task, [key], args)
        if answer != b"3":  # 3: the message has changed, so read it again
            return _ANSWERS[answer[0]]


async def pause(session: Session, name: str, paused: bool) -> bool:
    """See Inspection.pause."""
    queue = queue_keys(name)
    if not paused:
        return bool(await session.redis.command(queue.paused, "DEL", queue.paused))
    await session.registry.register([name])
    now = math.floor(session.clock.now())
    return bool(await small_write(session.redis, "SETNX", queue.paused, now))


async def pause_type(session: Session, name: str, type: str, paused: bool) -> bool:
    """See Inspection.pause_type."""
    key = queue_keys(name).paused_types
    if not paused:
        return bool(await session.redis.command(key, "HDEL", key, type))
    await session.registry.register([name])
    return bool(await small_write(session.redis, "HSETNX", key, type, repr(session.clock.now())))
