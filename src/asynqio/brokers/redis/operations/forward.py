"""Forward: make due tasks pending."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.results import Forwarded
from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.rounds import in_rounds
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session


async def forward(session: Session, queues: Sequence[str], limit: int) -> Forwarded:
    """See Broker.forward."""

    async def call(share: int, some: list[QueueKeys]) -> tuple[int, float | None]:
        moved = 0
        keys: list[str] = []
        now = session.clock.now()
        args: list[Arg] = [math.floor(now), session.now_ns(), 0, math.ceil(now), repr(now)]
        for queue in some:
            keys += (queue.scheduled, queue.retry, queue.soon, queue.pending, queue.groups)
            args.append(queue.prefix)
        while True:
            args[2] = min(share - moved, BATCH_SIZE)
            step, coming = await session.run_idempotent(LUA.forward, keys, args)
            moved += step
            if step < BATCH_SIZE or moved >= share:
                return moved, None if coming is None else float(coming)

    return Forwarded(*await in_rounds(session, queues, limit, call))
