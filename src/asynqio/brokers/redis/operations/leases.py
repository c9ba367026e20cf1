"""Leases that are still held: made to last longer, and what running handlers leave with their tasks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence

from asynqio.brokers.contract.results import Output
from asynqio.brokers.redis.layout.fencing import KEPT, is_ours, lease_of, token_of
from asynqio.brokers.redis.layout.keys import QUEUES, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.layout.packing import maybe, pack
from asynqio.brokers.redis.operations import quarantine as damage
from asynqio.brokers.redis.scripts.batches import by_queue
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.attempts.record import encode_record
from asynqio.core.lifecycle import Lease
from asynqio.errors import CorruptMessage

#: Active tasks looked at per call when the leases of one server are renewed.
ACTIVE_TOGETHER = 1_000


async def renew(session: Session, leases: Sequence[Lease], lease: float) -> list[bool]:
    expires_at = float(math.ceil(session.clock.now() + lease))
    answers = [False] * len(leases)

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        keys, args = [queue.lease], [int(expires_at)]
        for at in places:
            id, token = leases[at].message.id, token_of(leases[at])
            keys.append(queue.task(id))
            args += (id, token.owner, token.fence)  # type: ignore[arg-type]
        reply = await session.repeat(LUA.renew, keys, args)
        for at, kept in zip(places, reply, strict=True):
            if kept == KEPT:
                answers[at] = True
                leases[at].expires_at = expires_at

    await by_queue([held.message.queue for held in leases], call)
    return answers


async def renew_owner(session: Session, owner: str, lease: float) -> int:
    renewed = 0
    for name in await session.redis.command(QUEUES, "SMEMBERS", QUEUES):
        queue = queue_keys(damage.shown(name))
        active = await session.redis.command(queue.active, "LLEN", queue.active)
        for start in range(0, active, ACTIVE_TOGETHER):
            args: list[Word] = [owner, queue.task_prefix, start, start + ACTIVE_TOGETHER - 1]
            found = await session.repeat(LUA.owned, [queue.active], args)
            answers = await renew(session, _held(zip(found[::2], found[1::2], strict=True)), lease)
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


async def write_output(session: Session, notes: Sequence[Output]) -> list[bool]:
    answers = [False] * len(notes)

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        keys: list[str] = []
        args: list[Word] = []
        for at in places:
            one = notes[at]
            keys.append(queue.task(one.lease.message.id))
            token = token_of(one.lease)
            live = b"" if one.live is None else encode_record(one.live)
            args += (token.owner, token.fence, pack(maybe(one.result), maybe(one.progress), live))
        reply = await session.repeat(LUA.write_output, keys, args)
        for at, kept in zip(places, reply, strict=True):
            answers[at] = kept == KEPT

    await by_queue([one.lease.message.queue for one in notes], call)
    return answers
