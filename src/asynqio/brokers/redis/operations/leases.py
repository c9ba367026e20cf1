"""Leases: renew those that are held, find those that have lapsed, repair active tasks that have none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.contract.results import Expired
from asynqio.brokers.redis.chunking import by_queue
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.fencing import HELD, is_ours, lease_of, token_of
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.operations.quarantine import decode_stored, quarantine
from asynqio.brokers.redis.rounds import earliest
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.lifecycle import Lease
from asynqio.errors import BrokerRefused, BrokerUnavailable, CorruptMessage

log = logging.getLogger("asynqio.redis")

#: Active tasks read per call when the leases of one server are renewed.
ACTIVE_BATCH_SIZE = 1_000
#: Active tasks, oldest first, that are searched for missing leases.
REPAIR_LIMIT = 1_000
#: Seconds after which Go's recoverer too considers a lapsed lease as lost.
GO_GRACE = 30
#: The longest age in seconds of a measured skew by which leases are renewed or judged.
SKEW_AGE = 1.0
#: Seconds until the next check while the master of a queue is down, and seconds after its return during which no
#: lease counts as lapsed: running servers need time to renew theirs.
CHECK_AGAIN, RETURN_GRACE = 1.0, 5.0


async def renew(session: Session, leases: Sequence[Lease], lease: float) -> list[bool]:
    """See Broker.renew."""
    answers = [False] * len(leases)

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        skew = await session.server_clock.skew(queue.lease, lease=lease, max_age=SKEW_AGE)
        expires_at = math.ceil(session.clock.now() + skew + lease)
        keys, args = [queue.lease], [expires_at]
        for at in indexes:
            id, token = leases[at].message.id, token_of(leases[at])
            keys.append(queue.task(id))
            args += (id, token.owner, token.fence)  # type: ignore[arg-type]
        reply = await session.run_idempotent(LUA.renew, keys, args)
        for at, held in zip(indexes, reply, strict=True):
            if held == HELD:
                answers[at] = True
                leases[at].expires_at = expires_at - skew

    # A script call reads the stored messages.
    sizes = [len(held.message.payload or b"") for held in leases]
    await by_queue([held.message.queue for held in leases], call, sizes)
    return answers


async def renew_owner(session: Session, owner: str, lease: float) -> int:
    """See Broker.renew_owner."""
    renewed = 0
    for name in await session.redis.command(QUEUES, "SMEMBERS", QUEUES):
        queue = queue_keys(decode_lossy(name))
        active = await session.redis.command(queue.active, "LLEN", queue.active)
        for start in range(0, active, ACTIVE_BATCH_SIZE):
            args: list[Arg] = [owner, queue.task_prefix, start, start + ACTIVE_BATCH_SIZE - 1]
            found = await session.run_idempotent(LUA.leases_by_owner, [queue.active], args)
            answers = await renew(session, _held(zip(found[::2], found[1::2], strict=True)), lease)
            renewed += sum(answers)
    return renewed


def _held(found: Iterable[tuple[bytes, bytes | None]]) -> list[Lease]:
    """The leases that are ours: Go leaves the token in place when it takes a task over."""
    leases = []
    for token, msg in found:
        if msg is not None:
            with contextlib.suppress(CorruptMessage):
                message = decode_task(msg)
                if is_ours(token, message.last_failed_at):
                    leases.append(lease_of(message, msg, token, 0.0))
    return leases


# --- lapsed leases --------------------------------------------------------------------------------


async def expired(session: Session, queues: Sequence[str], limit: int) -> Expired:
    """See Broker.expired: lapsed leases of our servers, and of Go's servers those that Go would recover too.

    Our servers write a token and are fenced by it, so their leases end at the stored time. A Go server may still be
    working, so it gets the 30 s of grace that Go's own recoverer gives it. It knows only the clock of its machine, so
    its lease must have lapsed by the clock of Redis and by that of this machine.
    """
    found: list[Lease] = []
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        now = session.clock.now()
        skipped_at = session.skipped_at.get(some[0].name, -RETURN_GRACE)
        if session.clock.monotonic() - skipped_at < RETURN_GRACE:
            next_at.append(now + CHECK_AGAIN)
            return
        skew = await session.server_clock.skew(some[0].lease, max_age=SKEW_AGE)
        if session.server_clock.has_jumped(some[0].lease):
            next_at.append(now + CHECK_AGAIN)
            return
        now = session.clock.now()
        args: list[Arg] = [math.floor(now + skew), 0, limit, *(queue.task_prefix for queue in some)]
        reply = await session.run_idempotent(LUA.expired, [queue.lease for queue in some], args)
        for queue, (coming, *items) in zip(some, reply, strict=True):
            next_at.append(None if coming is None else float(coming) - skew)
            await _check(session, queue, items, skew, found, next_at)

    slots = session.by_slot(queues)
    reachable = session.reachable(slots)
    for [queue] in [some for some in slots if some not in reachable]:
        session.skipped_at[queue.name] = session.clock.monotonic()
        next_at.append(session.clock.now() + CHECK_AGAIN)
    await session.for_each_slot(queues, call, None)
    found.sort(key=lambda lease: lease.expires_at)
    return Expired(found[:limit], earliest(next_at))


async def accepts_writes(session: Session, queues: Sequence[str]) -> list[bool]:
    """See Broker.accepts_writes. Sends the command of a renewal, for a member that does not exist: it is checked as
    a write (replicas, memory, role, permissions) and changes nothing."""
    keys = [queue_keys(name).lease for name in queues]
    calls = [session.redis.command(key, "ZADD", key, "XX", 0, "") for key in keys]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, BrokerUnavailable | BrokerRefused):
            raise answer
    return [not isinstance(answer, BaseException) for answer in answers]


async def _check(
    session: Session,
    queue: QueueKeys,
    items: list[Any],
    skew: float,
    found: list[Lease],
    next_at: list[float | None],
) -> None:
    damaged: list[tuple[bytes, bytes | None]] = []
    for id, score, msg, token, counters in items:
        try:
            message = decode_stored(queue, id, msg, counters) if msg is not None else None
        except CorruptMessage:
            message = None
        if message is None:
            damaged.append((id, msg))
            continue
        expires_at = float(score) - skew
        go_until = max(expires_at, float(score)) + GO_GRACE
        if is_ours(token, message.last_failed_at) or go_until <= session.clock.now():
            found.append(lease_of(message, msg, token or b"", expires_at))
        else:
            next_at.append(go_until)
    await quarantine(session, queue, damaged)


# --- missing leases -------------------------------------------------------------------------------


class Orphans(NamedTuple):
    """What `find_orphans` found among the active tasks of a queue."""

    #: The ids without a lease that were not in `seen`.
    ids: list[bytes]
    #: The number of tasks that run on Go servers older than 0.22, which keep no leases.
    on_old_servers: int
    #: The number of messages in the layout of Go before 0.18.
    old_messages: int


async def find_orphans(session: Session, queue: QueueKeys, seen: Sequence[bytes] = ()) -> Orphans:
    """Find active tasks without a lease, and give those in `seen` a lapsed one."""
    skew = await session.server_clock.skew(queue.lease)
    now = int(session.clock.now() + min(skew, 0.0))
    args: list[Arg] = [now - GO_GRACE - 1, REPAIR_LIMIT, queue.task_prefix, now - GO_GRACE, *seen]
    keys = [queue.active, queue.lease, queue.deadlines]
    return Orphans(*await session.run_idempotent(LUA.lease_orphans, keys, args))


class LeaseRepair:
    """Gives active tasks without a lease, which no server would recover (B8), a lapsed one when seen twice.

    Each queue has its own time of the next check, because the queues of one store may be swept in several parts.
    Tasks of Go servers older than 0.22 are left to them until 30 s after their deadline, as Go's recoverer does.
    """

    #: Seconds between two checks of a queue.
    EVERY = 10.0

    def __init__(self) -> None:
        #: What the last check of a queue found.
        self._seen: dict[str, list[bytes]] = {}
        #: When queues are checked next (monotonic time).
        self._next: dict[str, float] = {}
        self._forget_at = 0.0
        #: The queues in which Go servers older than 0.22 have been seen.
        self._with_old_servers: set[str] = set()

    async def run(self, session: Session, queues: Sequence[str]) -> None:
        """Check these queues."""
        before = {name: self._seen.pop(name) for name in queues if name in self._seen}
        reachable = [queue for some in session.reachable(session.by_slot(queues)) for queue in some]
        for queue in await session.with_key(reachable, lambda queue: queue.active):
            found = await find_orphans(session, queue, before.get(queue.name, []))
            if found.ids:
                self._seen[queue.name] = found.ids
            if found.on_old_servers and queue.name not in self._with_old_servers:
                self._with_old_servers.add(queue.name)
                log.warning(
                    "a Go server older than asynq 0.22 runs %d tasks of queue %r: they are left to it until 30 s "
                    "after their deadline; upgrade it to 0.22 or later",
                    found.on_old_servers,
                    queue.name,
                    extra={"event": "old_go_server", "queue": queue.name, "count": found.on_old_servers},
                )

    def due(self, session: Session, queues: Sequence[str]) -> list[str]:
        """Those of these queues that it is time to check again."""
        now = session.clock.monotonic()
        if now >= self._forget_at:  # queues that are swept no more
            self._next = {name: at for name, at in self._next.items() if at > now}
            self._forget_at = now + 60 * self.EVERY
        due = [name for name in queues if self._next.get(name, now) <= now]
        self._next.update(dict.fromkeys(due, now + self.EVERY))
        return due
