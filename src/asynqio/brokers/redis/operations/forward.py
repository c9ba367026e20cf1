"""Forward: make due tasks pending."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.results import Forwarded
from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session


def earliest(moments: Sequence[float | None]) -> float | None:
    """The earliest of the known times."""
    return min((moment for moment in moments if moment is not None), default=None)


async def forward(session: Session, queues: Sequence[str], limit: int) -> Forwarded:
    """See Broker.forward."""
    moved = 0
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        nonlocal moved
        keys: list[str] = []
        now = session.clock.now()
        args: list[Arg] = [math.floor(now), session.now_ns(), min(limit - moved, BATCH_SIZE), math.ceil(now)]
        args.append(repr(now))
        for queue in some:
            keys += (queue.scheduled, queue.retry, queue.soon, queue.pending, queue.groups)
            args.append(queue.prefix)
        while True:
            args[2] = min(limit - moved, BATCH_SIZE)
            step, coming = await session.run_idempotent(LUA.forward, keys, args)
            moved += step
            if step < BATCH_SIZE or moved >= limit:
                break
        next_at.append(None if coming is None else float(coming))

    await session.for_each_slot(queues, call, None)
    return Forwarded(moved, earliest(next_at))
