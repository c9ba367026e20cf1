"""Tasks out: from the front of the queues, each with a lease; and those whose reply got lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from asynqio.brokers.redis.connection.reconnecting import ReplyLost
from asynqio.brokers.redis.layout.fencing import is_ours, lease_of
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.operations import quarantine as damage
from asynqio.brokers.redis.operations.settle import settle
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.errors import BrokerUnavailable, CorruptMessage

#: Tasks taken per call.
TOGETHER_OUT = 500


async def dequeue(
    session: Session, queues: Sequence[str], limit: int, lease: float, owner: str, timed: bool
) -> list[Lease]:
    """See Broker.dequeue. A cancelled caller's tasks are handed back."""

    async def hand_back(leases: list[Lease]) -> None:
        await settle(
            session, [Settlement(lost, TaskState.PENDING, lost.message) for lost in reversed(leases)]
        )

    return await session.finish(_dequeue(session, queues, limit, lease, owner, timed), hand_back)


async def _dequeue(
    session: Session, queues: Sequence[str], limit: int, lease: float, owner: str, timed: bool
) -> list[Lease]:
    leases: list[Lease] = []

    async def take(some: list[QueueKeys]) -> list[Lease]:
        if limit <= len(leases):
            return []
        taken = await _take(session, some, min(limit - len(leases), TOGETHER_OUT), lease, owner, timed)
        leases.extend(taken)
        return taken

    while True:
        try:
            answers = await session.each(queues, take, list[Lease]())
        except BrokerUnavailable:
            if not leases:
                raise
            return leases  # what the others gave is ours
        found = sum(len(taken) for _, taken in answers)
        if len(leases) >= limit or found < TOGETHER_OUT:
            return leases


async def _take(
    session: Session, queues: list[QueueKeys], limit: int, lease: float, owner: str, timed: bool
) -> list[Lease]:
    expires_at = float(math.ceil(session.clock.now() + lease))
    await _bring_back(session, queues)
    token = session.token(owner).encode()
    keys: list[str] = []
    args: list[Word] = [limit, int(expires_at), token]
    for queue in queues:
        keys += (queue.pending, queue.paused, queue.active, queue.lease)
        args.append(queue.task_prefix)
    if timed:
        args.append("timed")
    try:
        taken = await session.run(LUA.dequeue, keys, args)
    except ReplyLost:
        try:
            recalled = await _recall(session, queues, token)
        except BrokerUnavailable:
            session.strays.append((queues, token))
            raise
        taken = [[msg, strikes] for found in recalled for _, msg, strikes in found]
    leases, unread = _read(taken, token, expires_at)
    if unread:
        for queue, found in zip(queues, await _recall(session, queues, token), strict=True):
            await damage.quarantine(session, queue, ((id, msg) for id, msg, _ in found))
    return leases


def _read(taken: Iterable[Any], token: bytes, expires_at: float) -> tuple[list[Lease], int]:
    """Leases of what a script has taken, and how many of it cannot be read."""
    leases, unread = [], 0
    for item in taken:
        msg, strikes, since = item, None, 0.0
        if isinstance(item, list):
            msg, strikes = item[0], item[1]
            since = _seconds(item[2]) if len(item) > 2 else 0.0
        try:
            message = decode_task(msg, strikes)
        except CorruptMessage:
            unread += 1
        else:
            leases.append(lease_of(message, msg, token, expires_at, since))
    return leases, unread


def _seconds(nanoseconds: bytes | None) -> float:
    """A time as Go stores it; 0 if it is not there, or is none."""
    return int(nanoseconds) / 1e9 if nanoseconds and nanoseconds.isdigit() else 0.0


async def _bring_back(session: Session, queues: list[QueueKeys]) -> None:
    """Hand back what an earlier dequeue took whose reply never came, rather than let it wait for its lease to lapse
    and count as a crash."""
    names = {queue.name for queue in queues}
    for stray in [
        stray for stray in session.strays if not names.isdisjoint(queue.name for queue in stray[0])
    ]:
        taken_from, token = stray
        recalled = await _recall(session, taken_from, token)
        found = [[msg, strikes] for some in recalled for _, msg, strikes in some]
        leases, _ = _read(found, token, 0.0)
        ours = [lease for lease in reversed(leases) if is_ours(token, lease.message.last_failed_at)]
        await settle(session, [Settlement(lease, TaskState.PENDING, lease.message) for lease in ours])
        if stray in session.strays:
            session.strays.remove(stray)


async def _recall(
    session: Session, queues: list[QueueKeys], token: bytes
) -> list[list[tuple[bytes, bytes, bytes | None]]]:
    """The tasks that carry this token now, per queue: id, message, strikes."""
    args: list[Word] = [token, *(queue.task_prefix for queue in queues)]
    reply = await session.repeat(LUA.recall, [queue.active for queue in queues], args)
    return [list(zip(found[::3], found[1::3], found[2::3], strict=True)) for found in reply]
