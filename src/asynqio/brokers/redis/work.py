"""Tasks out: leases, and what becomes of them.

The token of a lease has two halves. The first was written beside the task by our own dequeue and names the
server; the second, the witness, is the part of the stored message that any recovery rewrites, Go's too.
Together they fence: who lost a task can never change it again (P2).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.base import ARCHIVE_AGE, ARCHIVE_LIMIT, STATS_AGE, Note
from asynqio.brokers.redis import damage
from asynqio.brokers.redis.codec import decode_task, encode_strikes, encode_task
from asynqio.brokers.redis.engine import Engine, Word, chunks, together
from asynqio.brokers.redis.keys import QUEUES, QueueKeys, queue_keys
from asynqio.brokers.redis.link import ReplyLost
from asynqio.brokers.redis.pack import maybe, pack
from asynqio.brokers.redis.scripts import LUA
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.message import TaskMessage, TaskState
from asynqio.errors import BrokerUnavailable, CorruptMessage

#: Active tasks looked at per call when the leases of one server are renewed.
ACTIVE_TOGETHER = 1_000


class Token(NamedTuple):
    """What fences a lease: see above."""

    owner: bytes
    witness: bytes
    #: It was to be settled, and nobody can tell whether it was: the next try says so.
    doubtful: bool = False


def witness(message: TaskMessage, stored: bytes) -> bytes:
    """The end of the stored bytes: what is behind the payload, and a little of it."""
    return stored[len(message.payload or b"") :]


def lease_of(message: TaskMessage, stored: bytes, owner: bytes, expires_at: float) -> Lease:
    return Lease(message, expires_at, Token(owner, witness(message, stored)))


def is_ours(token: bytes | None, last_failed_at: float) -> bool:
    """Whether one of our servers holds this lease.

    Go knows nothing of tokens and leaves them where they are. But it comes by a task of ours only through
    its recoverer, which notes the failure: then the task failed after it was leased to us.
    """
    if not token:
        return False
    leased_at = token.rpartition(b"@")[2]
    return not (leased_at.isdigit() and last_failed_at > int(leased_at))


# --- taking ---------------------------------------------------------------------------------------


async def dequeue(engine: Engine, queues: Sequence[str], limit: int, lease: float, owner: str) -> list[Lease]:
    """See Broker.dequeue. A canceled caller's tasks are handed back."""

    async def hand_back(leases: list[Lease]) -> None:
        await settle(engine, [Settlement(lost, TaskState.PENDING, lost.message) for lost in reversed(leases)])

    return await engine.finish(_dequeue(engine, queues, limit, lease, owner), hand_back)


async def _dequeue(
    engine: Engine, queues: Sequence[str], limit: int, lease: float, owner: str
) -> list[Lease]:
    leases: list[Lease] = []

    async def take(some: list[QueueKeys]) -> list[Lease]:
        if limit <= len(leases):
            return []
        taken = await _take(engine, some, min(limit - len(leases), TOGETHER_OUT), lease, owner)
        leases.extend(taken)
        return taken

    while True:
        try:
            answers = await engine.each(queues, take, list[Lease]())
        except BrokerUnavailable:
            if not leases:
                raise
            return leases  # what the others gave is ours
        found = sum(len(taken) for _, taken in answers)
        if len(leases) >= limit or found < TOGETHER_OUT:
            return leases


#: Tasks taken per call.
TOGETHER_OUT = 500


async def _take(engine: Engine, queues: list[QueueKeys], limit: int, lease: float, owner: str) -> list[Lease]:
    expires_at = float(math.ceil(engine.clock.now() + lease))
    await _bring_back(engine, queues)
    token = engine.token(owner).encode()
    keys: list[str] = []
    args: list[Word] = [limit, int(expires_at), token]
    for queue in queues:
        keys += (queue.pending, queue.paused, queue.active, queue.lease)
        args.append(queue.task_prefix)
    try:
        taken = await engine.run(LUA.dequeue, keys, args)
    except ReplyLost:
        try:
            recalled = await _recall(engine, queues, token)
        except BrokerUnavailable:
            engine.strays.append((queues, token))
            raise
        taken = [[msg, strikes] for found in recalled for _, msg, strikes in found]
    leases, unread = _read(taken, token, expires_at)
    if unread:
        for queue, found in zip(queues, await _recall(engine, queues, token), strict=True):
            await damage.quarantine(engine, queue, ((id, msg) for id, msg, _ in found))
    return leases


def _read(taken: Iterable[Any], token: bytes, expires_at: float) -> tuple[list[Lease], int]:
    """Leases of what a script has taken, and how many of it cannot be read."""
    leases, unread = [], 0
    for item in taken:
        msg, strikes = item if isinstance(item, list) else (item, None)
        try:
            message = decode_task(msg, strikes)
        except CorruptMessage:
            unread += 1
        else:
            leases.append(lease_of(message, msg, token, expires_at))
    return leases, unread


async def _bring_back(engine: Engine, queues: list[QueueKeys]) -> None:
    """Hand back what an earlier dequeue took whose reply never came, rather than let it wait for its lease to lapse
    and count as a crash."""
    names = {queue.name for queue in queues}
    for stray in [stray for stray in engine.strays if not names.isdisjoint(queue.name for queue in stray[0])]:
        taken_from, token = stray
        recalled = await _recall(engine, taken_from, token)
        found = [[msg, strikes] for some in recalled for _, msg, strikes in some]
        leases, _ = _read(found, token, 0.0)
        ours = [lease for lease in reversed(leases) if is_ours(token, lease.message.last_failed_at)]
        await settle(engine, [Settlement(lease, TaskState.PENDING, lease.message) for lease in ours])
        if stray in engine.strays:
            engine.strays.remove(stray)


async def _recall(
    engine: Engine, queues: list[QueueKeys], token: bytes
) -> list[list[tuple[bytes, bytes, bytes | None]]]:
    """The tasks that carry this token now, per queue: id, message, strikes."""
    args: list[Word] = [token, *(queue.task_prefix for queue in queues)]
    reply = await engine.repeat(LUA.recall, [queue.active for queue in queues], args)
    return [list(zip(found[::3], found[1::3], found[2::3], strict=True)) for found in reply]


# --- keeping --------------------------------------------------------------------------------------


async def renew(engine: Engine, leases: Sequence[Lease], lease: float) -> list[bool]:
    expires_at = float(math.ceil(engine.clock.now() + lease))
    answers = [False] * len(leases)

    async def call(queue: QueueKeys, places: Sequence[int]) -> None:
        keys, args = [queue.lease], [int(expires_at)]
        for at in places:
            id, token = leases[at].message.id, token_of(leases[at])
            keys.append(queue.task(id))
            args += (id, token.owner, token.witness)  # type: ignore[arg-type]
        reply = await engine.repeat(LUA.renew, keys, args)
        for at, kept in zip(places, reply, strict=True):
            if kept == KEPT:
                answers[at] = True
                leases[at].expires_at = expires_at

    await together_by_queue(leases, call)
    return answers


async def renew_owner(engine: Engine, owner: str, lease: float) -> int:
    renewed = 0
    for name in await engine.redis.command(QUEUES, "SMEMBERS", QUEUES):
        queue = queue_keys(damage.shown(name))
        active = await engine.redis.command(queue.active, "LLEN", queue.active)
        for start in range(0, active, ACTIVE_TOGETHER):
            args: list[Word] = [owner, queue.task_prefix, start, start + ACTIVE_TOGETHER - 1]
            found = await engine.repeat(LUA.owned, [queue.active], args)
            answers = await renew(engine, _held(zip(found[::2], found[1::2], strict=True)), lease)
            renewed += sum(answers)
    return renewed


def _held(found: Iterable[tuple[bytes, bytes | None]]) -> list[Lease]:
    """The leases among tasks that carry a token: Go leaves it where it is when it takes a task over."""
    leases = []
    for token, msg in found:
        if msg is not None:
            with contextlib.suppress(CorruptMessage):
                message = decode_task(msg)
                if is_ours(token, message.last_failed_at):
                    leases.append(lease_of(message, msg, token, 0.0))
    return leases


async def note(engine: Engine, notes: Sequence[Note]) -> list[bool]:
    answers = [False] * len(notes)

    async def call(queue: QueueKeys, places: Sequence[int]) -> None:
        keys: list[str] = []
        args: list[Word] = []
        for at in places:
            one = notes[at]
            keys.append(queue.task(one.lease.message.id))
            token = token_of(one.lease)
            args += (token.owner, token.witness, pack(maybe(one.result), maybe(one.progress)))
        reply = await engine.repeat(LUA.note, keys, args)
        for at, kept in zip(places, reply, strict=True):
            answers[at] = kept == KEPT

    await together_by_queue([one.lease for one in notes], call)
    return answers


# --- settling -------------------------------------------------------------------------------------

#: How scripts say yes for one item.
KEPT = ord("1")


async def settle(engine: Engine, settlements: Sequence[Settlement]) -> list[bool]:
    answers = [False] * len(settlements)

    async def call(queue: QueueKeys, places: Sequence[int]) -> None:
        today = engine.today()
        keys = [
            queue.pending,
            queue.active,
            queue.lease,
            queue.retry,
            queue.archived,
            queue.completed,
            queue.processed_on(today),
            queue.failed_on(today),
            queue.processed,
            queue.failed,
        ]
        args: list[Word] = [
            queue.prefix,
            engine.nanoseconds(),
            int(STATS_AGE),
            ARCHIVE_LIMIT,
            int(engine.clock.now() - ARCHIVE_AGE),
        ]
        prefix = queue.task_prefix
        again = False
        for at in places:
            settlement = settlements[at]
            id = settlement.lease.message.id
            keys.append(prefix + id)
            owner, seen, doubtful = token_of(settlement.lease)
            again |= doubtful
            args += (id, owner, seen, _spec(settlement))
        reply = await engine.certain(LUA.settle, keys, args, again=again)
        for at, kept in zip(places, reply, strict=True):
            answers[at] = kept == KEPT

    leases = [settlement.lease for settlement in settlements]
    try:
        await together_by_queue(leases, call)
    except BrokerUnavailable:
        # Whoever settles them again does not want to hear that they are settled already, by themselves.
        for lease in leases:
            lease.token = token_of(lease)._replace(doubtful=True)
        raise
    return answers


def _spec(settlement: Settlement) -> bytes | str:
    """What scripts/settle.lua is told to do."""
    message = settlement.message
    if settlement.to is None and settlement.processed and not settlement.failed:
        return "-" + message.unique_key
    at = settlement.at
    return pack(
        settlement.to.value if settlement.to is not None else "",
        encode_task(message),
        str(int(at) if settlement.to is TaskState.ARCHIVED else math.ceil(at)),
        "1" if settlement.processed else "",
        "1" if settlement.failed else "",
        message.unique_key,
        maybe(settlement.result),
        encode_strikes(message),
    )


def token_of(lease: Lease) -> Token:
    """The token of a lease; one that no Redis broker gave holds nothing."""
    return lease.token if isinstance(lease.token, Token) else Token(b"?", b"?")


async def together_by_queue(leases: Iterable[Lease], call: object) -> None:
    """`await call(queue, places)` for each queue and chunk, all under way at once; `places` are indexes."""
    by_queue: dict[str, list[int]] = {}
    for at, lease in enumerate(leases):
        by_queue.setdefault(lease.message.queue, []).append(at)
    calls = [
        call(queue_keys(name), some)  # type: ignore[operator]
        for name, places in by_queue.items()
        for some in chunks(places)
    ]
    if calls:
        await together(calls)
