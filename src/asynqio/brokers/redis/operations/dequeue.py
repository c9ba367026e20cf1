"""Dequeue: lease the oldest pending tasks, and find those of a dequeue whose reply was lost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost
from asynqio.brokers.redis.layout.fencing import is_ours, lease_of
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.operations.quarantine import quarantine
from asynqio.brokers.redis.operations.settle import settle
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.errors import BrokerError, BrokerUnavailable, CorruptMessage

#: Tasks leased per call.
DEQUEUE_BATCH_SIZE = 500


async def dequeue(
    session: Session, queues: Sequence[str], limit: int, lease: float, owner: str, timed: bool
) -> list[Lease]:
    """See Broker.dequeue. If the caller is cancelled, its tasks are handed back."""
    wanted = Wanted(session, limit, lease, owner, timed, [])
    try:
        # Not in a task of its own: with few slots, its steps of the event loop cost as much as the call.
        if session.redis.clustered and len(queues) > 1:
            await _dequeue_across(wanted, queues)
        else:
            await _dequeue(wanted, queues)
    except asyncio.CancelledError:
        await session.background.undo(_hand_back(wanted, queues))
        raise
    return wanted.leases


class Wanted(NamedTuple):
    """What a dequeue asks for, and the leases that it has so far."""

    session: Session
    limit: int
    lease: float
    owner: str
    timed: bool
    leases: list[Lease]


async def _hand_back(wanted: Wanted, queues: Sequence[str]) -> None:
    """Hand back the tasks of a cancelled dequeue, those of a call in flight included."""
    await _hand_back_unconfirmed(wanted.session, [wanted.session.keys(name) for name in queues])
    lost = [Settlement(lease, TaskState.PENDING, lease.message) for lease in reversed(wanted.leases)]
    await settle(wanted.session, lost)


async def _dequeue(wanted: Wanted, queues: Sequence[str]) -> None:
    leases, limit = wanted.leases, wanted.limit

    async def take(some: list[QueueKeys]) -> int:
        if limit <= len(leases):
            return 0
        return await _take(wanted, some, min(limit - len(leases), DEQUEUE_BATCH_SIZE))

    while True:
        try:
            answers = await wanted.session.for_each_slot(queues, take, 0)
        except BrokerUnavailable:
            if not leases:
                raise
            return  # tasks of other masters are leased already
        found = sum(taken for _, taken in answers)
        if len(leases) >= limit or found < DEQUEUE_BATCH_SIZE:
            return


async def _dequeue_across(wanted: Wanted, queues: Sequence[str]) -> None:
    """Dequeue from the queues of a cluster in two round trips: count the pending tasks, then lease from every queue
    that has some at once. The shares follow the order of the queues, and are no more than the limit together."""
    session, leases, limit = wanted.session, wanted.leases, wanted.limit
    reachable = [queue for [queue] in session.reachable(session.by_slot(queues))]
    await _hand_back_unconfirmed(session, reachable)
    while len(leases) < limit:
        counts = await _pending(session, reachable)
        shares = allot(counts, min(limit - len(leases), DEQUEUE_BATCH_SIZE))
        asked = [(queue, share) for queue, share in zip(reachable, shares, strict=True) if share]
        parts = [wanted._replace(leases=[]) for _ in asked]
        calls = (_take(part, [queue], share) for part, (queue, share) in zip(parts, asked, strict=True))
        try:
            answers = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for part in parts:
                leases.extend(part.leases)
        taken = 0
        for (queue, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, RedisError):
                session.report_damage(queue.name, answer)
            elif isinstance(answer, BrokerUnavailable):
                reachable.remove(queue)  # tasks of other masters are leased already
                if not reachable and not leases:
                    raise answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                taken += answer
        if not taken or taken == sum(counts):
            break


async def _pending(session: Session, queues: Sequence[QueueKeys]) -> list[int]:
    """How many tasks each queue could give: none if it is paused, damaged, or its master is down.

    Raises BrokerUnavailable if all masters are.
    """
    command = session.redis.command
    answers = await asyncio.gather(
        *(command(queue.pending, "LLEN", queue.pending) for queue in queues),
        *(command(queue.pending, "EXISTS", queue.paused) for queue in queues),
        return_exceptions=True,
    )
    counts = []
    failures = []
    for queue, length, paused in zip(queues, answers, answers[len(queues) :], strict=False):
        count = 0
        for answer in (length, paused):
            if isinstance(answer, RedisError):
                session.report_damage(queue.name, answer)
            elif isinstance(answer, BrokerUnavailable):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
        if isinstance(length, int) and paused == 0:
            count = length
        counts.append(count)
    if len(failures) == len(answers):
        raise failures[0]
    return counts


def allot(counts: Sequence[int], limit: int) -> list[int]:
    """How many tasks to take from each queue, in this order, given how many it has."""
    shares = []
    for count in counts:
        shares.append(min(count, limit))
        limit -= shares[-1]
    return shares


async def _take(wanted: Wanted, queues: list[QueueKeys], limit: int) -> int:
    """Lease up to `limit` tasks; returns their number."""
    session = wanted.session
    skew = await session.server_clock.skew(queues[0].lease, lease=wanted.lease)
    expires_at = math.ceil(session.clock.now() + skew + wanted.lease)
    await _hand_back_unconfirmed(session, queues)
    token = session.token(wanted.owner).encode()
    keys: list[str] = []
    args: list[Arg] = [limit, expires_at, token]
    for queue in queues:
        keys += (queue.pending, queue.paused, queue.active, queue.lease)
        args.append(queue.task_prefix)
    if wanted.timed:
        args.append("timed")
    try:
        taken = await session.run(LUA.dequeue, keys, args)
    except asyncio.CancelledError:
        session.unconfirmed.append((queues, token))
        raise
    except ReplyLost:
        try:
            recovered = await _find_by_token(session, queues, token)
        except (BrokerError, asyncio.CancelledError):
            session.unconfirmed.append((queues, token))
            raise
        taken = [[msg, counters] for found in recovered for _, msg, counters in found]
    leases, unreadable = _decode(taken, token, expires_at - skew)
    wanted.leases.extend(leases)
    if unreadable:
        for queue, found in zip(queues, await _find_by_token(session, queues, token), strict=True):
            await quarantine(session, queue, ((id, msg) for id, msg, _ in found))
    return len(leases)


def _decode(taken: Iterable[Any], token: bytes, expires_at: float) -> tuple[list[Lease], int]:
    """The leases of a script's reply, and the number of unreadable messages in it."""
    leases, unreadable = [], 0
    for item in taken:
        msg, counters, since = item, None, 0.0
        if isinstance(item, list):
            msg, counters = item[0], item[1]
            since = _seconds(item[2]) if len(item) > 2 else 0.0
        try:
            message = decode_task(msg, counters)
        except CorruptMessage:
            unreadable += 1
        else:
            leases.append(lease_of(message, msg, token, expires_at, since))
    return leases, unreadable


def _seconds(nanoseconds: bytes | None) -> float:
    """Seconds from a stored number of nanoseconds; 0 if it is missing or malformed."""
    return int(nanoseconds) / 1e9 if nanoseconds and nanoseconds.isdigit() else 0.0


async def _hand_back_unconfirmed(session: Session, queues: list[QueueKeys]) -> None:
    """Hand back tasks of earlier dequeues whose reply was lost; otherwise their leases would lapse and count as
    crashes."""
    names = {queue.name for queue in queues}
    for item in [
        item for item in session.unconfirmed if not names.isdisjoint(queue.name for queue in item[0])
    ]:
        taken_from, token = item
        recovered = await _find_by_token(session, taken_from, token)
        found = [[msg, counters] for some in recovered for _, msg, counters in some]
        leases, _ = _decode(found, token, 0.0)
        ours = [lease for lease in reversed(leases) if is_ours(token, lease.message.last_failed_at)]
        await settle(session, [Settlement(lease, TaskState.PENDING, lease.message) for lease in ours])
        if item in session.unconfirmed:
            session.unconfirmed.remove(item)


async def _find_by_token(
    session: Session, queues: list[QueueKeys], token: bytes
) -> list[list[tuple[bytes, bytes, bytes | None]]]:
    """The active tasks that carry this token, per queue: id, message, failure counters."""
    args: list[Arg] = [token, *(queue.task_prefix for queue in queues)]
    reply = await session.run_idempotent(LUA.find_by_token, [queue.active for queue in queues], args)
    return [list(zip(found[::3], found[1::3], found[2::3], strict=True)) for found in reply]
