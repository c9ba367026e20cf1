"""Sweep: delete tasks past their retention, trim archives, and repair what dead servers and Go left behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.results import Swept
from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.operations import transfer
from asynqio.brokers.redis.operations.leases import LeaseRepair
from asynqio.brokers.redis.rounds import in_rounds
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.groups import BATCH_MEMBERS


async def sweep(session: Session, repair: LeaseRepair, queues: Sequence[str], limit: int) -> Swept:
    """See Broker.sweep."""

    async def call(share: int, some: list[QueueKeys]) -> tuple[int, float | None]:
        deleted = 0
        now = session.clock.now()
        keys: list[str] = []
        args: list[Arg] = [math.floor(now), 0, session.archive_limit, session.archive_cutoff(), BATCH_SIZE]
        args.append(BATCH_MEMBERS)
        for queue in some:
            keys += (queue.completed, queue.archived, queue.batches, queue.groups, queue.known_groups)
            args.append(queue.prefix)
        while True:
            args[1] = min(share - deleted, BATCH_SIZE)
            step, coming, more, trimmed = await session.run_idempotent(LUA.sweep, keys, args)
            deleted += step
            if not more and trimmed < BATCH_SIZE and (step < BATCH_SIZE or deleted >= share):
                return deleted, None if coming is None else float(coming)

    deleted, next_at = await in_rounds(session, queues, limit, call)
    if repair.due(session):
        reachable = [queue for some in session.reachable(session.by_slot(queues)) for queue in some]
        await repair.run(session, await session.with_key(reachable, lambda queue: queue.active))
        for queue in await session.with_key(reachable, lambda queue: queue.moving):
            await transfer.resume(session, queue)
    return Swept(deleted, next_at)
