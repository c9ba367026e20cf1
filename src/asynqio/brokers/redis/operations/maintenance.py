"""What time does to tasks: due ones become pending, lapsed leases are found, old tasks go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asynqio.brokers.contract.results import Expired, Forwarded, Swept
from asynqio.brokers.redis.layout.fencing import is_ours, lease_of
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.operations import quarantine as damage
from asynqio.brokers.redis.operations import transfer
from asynqio.brokers.redis.operations.quarantine import GO_GRACE, Repair
from asynqio.brokers.redis.scripts.batches import BATCH_SIZE
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.groups import BATCH_MEMBERS
from asynqio.core.lifecycle import Lease
from asynqio.errors import CorruptMessage

#: Seconds until the next look for lapsed leases while the master of a queue is away, and how long after its return
#: none of them is judged: the living need a moment to renew theirs.
LOOK_AGAIN, BACK_FOR = 1.0, 5.0


def earliest(moments: Sequence[float | None]) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


async def forward(session: Session, queues: Sequence[str], limit: int) -> Forwarded:
    moved = 0
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        nonlocal moved
        keys: list[str] = []
        now = session.clock.now()
        args: list[Word] = [
            math.floor(now),
            session.nanoseconds(),
            min(limit - moved, BATCH_SIZE),
            math.ceil(now),
        ]
        for queue in some:
            keys += (queue.scheduled, queue.retry, queue.pending, queue.groups)
            args.append(queue.prefix)
        while True:
            args[2] = min(limit - moved, BATCH_SIZE)
            step, coming = await session.repeat(LUA.forward, keys, args)
            moved += step
            if step < BATCH_SIZE or moved >= limit:
                break
        next_at.append(None if coming is None else float(coming))

    await session.each(queues, call, None)
    return Forwarded(moved, earliest(next_at))


# --- lapsed leases --------------------------------------------------------------------------------


async def expired(session: Session, queues: Sequence[str], limit: int) -> Expired:
    """Leases of our own servers that lapsed, and those of Go's servers that Go would recover too.

    Whoever leases from us writes a token, and is fenced by it: its lease ends when it says so. A server of
    Go's may work on for a while, so it gets the half minute that Go's own recoverer gives it (4.8).
    """
    found: list[Lease] = []
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        now = session.clock.now()
        if session.clock.monotonic() - session.missed.get(some[0].name, -BACK_FOR) < BACK_FOR:
            next_at.append(now + LOOK_AGAIN)
            return
        args: list[Word] = [math.floor(now), 0, limit, *(queue.task_prefix for queue in some)]
        reply = await session.repeat(LUA.expired, [queue.lease for queue in some], args)
        for queue, (coming, *items) in zip(some, reply, strict=True):
            next_at.append(None if coming is None else float(coming))
            await _judge(session, queue, items, now, found, next_at)

    slots = session.by_slot(queues)
    there = session.there(slots)
    for [queue] in [some for some in slots if some not in there]:
        session.missed[queue.name] = session.clock.monotonic()
        next_at.append(session.clock.now() + LOOK_AGAIN)
    await session.each(queues, call, None)
    found.sort(key=lambda lease: lease.expires_at)
    return Expired(found[:limit], earliest(next_at))


async def _judge(
    session: Session,
    queue: QueueKeys,
    items: list[Any],
    now: float,
    found: list[Lease],
    next_at: list[float | None],
) -> None:
    damaged: list[tuple[bytes, bytes | None]] = []
    for id, score, msg, token, strikes in items:
        try:
            message = damage.read(queue, id, msg, strikes) if msg is not None else None
        except CorruptMessage:
            message = None
        if message is None:
            damaged.append((id, msg))
            continue
        expires_at = float(score)
        if is_ours(token, message.last_failed_at) or expires_at + GO_GRACE <= now:
            found.append(lease_of(message, msg, token or b"", expires_at))
        else:
            next_at.append(expires_at + GO_GRACE)
    await damage.quarantine(session, queue, damaged)


# --- what is over ---------------------------------------------------------------------------------


async def sweep(session: Session, repair: Repair, queues: Sequence[str], limit: int) -> Swept:
    deleted = 0
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        nonlocal deleted
        now = session.clock.now()
        keys: list[str] = []
        args: list[Word] = [math.floor(now), 0, session.archive_limit, session.archive_cutoff(), BATCH_SIZE]
        args.append(BATCH_MEMBERS)
        for queue in some:
            keys += (queue.completed, queue.archived, queue.batches, queue.groups, queue.known_groups)
            args.append(queue.prefix)
        while True:
            args[1] = min(limit - deleted, BATCH_SIZE)
            step, coming, more, trimmed = await session.repeat(LUA.sweep, keys, args)
            deleted += step
            if not more and trimmed < BATCH_SIZE and (step < BATCH_SIZE or deleted >= limit):
                break
        next_at.append(None if coming is None else float(coming))

    await session.each(queues, call, None)
    if repair.due(session):
        there = [queue for some in session.there(session.by_slot(queues)) for queue in some]
        await repair.look(session, there)
        for queue in there:
            await transfer.resume(session, queue)
    return Swept(deleted, earliest(next_at))
