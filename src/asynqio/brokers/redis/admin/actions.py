"""What operators do: run, archive, delete, rewrite, pause, drop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.redis.admin import stats as look
from asynqio.brokers.redis.admin.scan import members, names_of_groups, place_of
from asynqio.brokers.redis.layout.keys import QueueKeys, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.batches import BATCH_SIZE, by_queue, together
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique_locks import moved_key
from asynqio.errors import CorruptMessage

#: How scripts answer for one task.
_ANSWERS = {ord("1"): Moved.DONE, ord("0"): Moved.NOT_FOUND, ord("2"): Moved.WRONG_STATE}
_ELSEWHERE = ord("3")
#: Of a line so many tasks are looked through by one call, about 0.2 ms: those that were seen together stand there,
#: if no more than so many were taken since.
NEAR, TAKEN = 1_000, 1_000


async def move(
    session: Session, action: Action, refs: Sequence[TaskRef], state: TaskState | None, near: str
) -> list[Moved]:
    answers = [Moved.NOT_FOUND] * len(refs)

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        ids = [refs[at].id for at in places]
        if state is TaskState.PENDING:
            reply = await _move_in_line(session, queue, action, ids, near)
        else:
            reply = await _move(session, queue, action, ids, only=state.value if state else "")
        for at, char in zip(places, reply, strict=True):
            answers[at] = _ANSWERS[char]

    await by_queue([ref.queue for ref in refs], call)
    return answers


async def _move_in_line(
    session: Session, queue: QueueKeys, action: Action, ids: Sequence[str], near: str
) -> bytes:
    """Tasks that were seen in a line near a place. It can only have come nearer to the front since, unless many were
    put there; whoever is not between there and here is looked for alone."""
    answers = bytearray(b"3" * len(ids))
    last = place_of(near) + NEAR
    while last >= 0 and (left := [at for at, char in enumerate(answers) if char == _ELSEWHERE]):
        first = max(0, last - NEAR - TAKEN)
        reply = await _move(
            session, queue, action, [ids[at] for at in left], only="pending", line=(first, last)
        )
        for at, char in zip(left, reply, strict=True):
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
    line: tuple[int, int] = (-1, -1),
) -> bytes:
    now = session.clock.now()
    keys = [queue.pending, queue.archived, queue.groups, queue.batches, *(queue.task(id) for id in ids)]
    target = action.target.value if action.target is not None else ""
    args: list[Word] = [target, queue.prefix, math.floor(now), session.nanoseconds()]
    args += (session.archive_limit, session.archive_cutoff(), only, *line, *ids)
    reply = await session.run(LUA.move, keys, args)
    assert isinstance(reply, bytes)
    return reply


async def move_all(session: Session, action: Action, where: Where) -> int:
    """In steps, each of which leaves every task whole; who joins meanwhile may or may not be moved."""
    queue = await look.known(session, where.queue)
    if where.state not in action.origins:
        return 0
    if where.state is TaskState.AGGREGATING:
        groups = [where.group] if where.group else await names_of_groups(session, queue.name)
        replies = [
            await _move(session, queue, action, ids)
            for group in groups
            async for ids in members(session, queue, group)
        ]
        return sum(reply.count(b"1") for reply in replies)
    moved = skipped = 0
    left = await _size(session, queue, where.state)
    while left > 0:
        ids = await _first_ids(session, queue, where.state, skipped, min(left, BATCH_SIZE))
        if not ids:
            break
        left -= len(ids)
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
    """The oldest tasks of a state behind those that were skipped: there a list is quickly changed."""
    key = f"{queue.prefix}{state.value}"
    if state is TaskState.PENDING:
        found = await session.redis.command(key, "LRANGE", key, -skipped - count, -skipped - 1)
        found.reverse()
    else:
        found = await session.redis.command(key, "ZRANGE", key, skipped, skipped + count - 1)
    return [shown(id) for id in found]


async def rewrite(session: Session, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
    if not payloads:
        return []
    return await together([_rewrite(session, ref, payload) for ref, payload in payloads.items()])


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
        args: list[Word] = [stored, encode_task(after), ref.id, old, new, queue.prefix]
        answer = await session.run(LUA.rewrite, [key], [*args, repr(session.clock.now())])
        if answer != b"3":  # somebody was quicker: look again
            return _ANSWERS[answer[0]]


async def pause(session: Session, name: str, paused: bool) -> bool:
    queue = queue_keys(name)
    if not paused:
        return bool(await session.redis.command(queue.paused, "DEL", queue.paused))
    await session.listed([name])
    now = math.floor(session.clock.now())
    return bool(await session.redis.command(queue.paused, "SETNX", queue.paused, now))


async def pause_type(session: Session, name: str, type: str, paused: bool) -> bool:
    key = queue_keys(name).paused_types
    if not paused:
        return bool(await session.redis.command(key, "HDEL", key, type))
    await session.listed([name])
    return bool(await session.redis.command(key, "HSETNX", key, type, repr(session.clock.now())))
