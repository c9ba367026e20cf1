"""Sweep: delete tasks past their retention, trim archives, and repair what dead servers and Go left behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.results import Swept
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.operations import transfer
from asynqio.brokers.redis.operations.leases import LeaseRepair
from asynqio.brokers.redis.rounds import in_rounds
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.groups import BATCH_LEASE, BATCH_MEMBERS, CLAIM_EXPIRED

#: Completed tasks, archived tasks and locks per script call, of each; with BATCH_MEMBERS and NAMES at most 5 ms.
ITEMS = 150
#: Names of groups read per script call, and most calls that read on: 8,000 names in the 8 s between two sweeps.
NAMES, NAME_PAGES = 400, 20
#: Most script calls. If work is left then, the next sweep is due at once.
ROUNDS = 200


async def sweep(session: Session, repair: LeaseRepair, queues: Sequence[str], limit: int) -> Swept:
    """See Broker.sweep."""

    async def call(share: int, some: list[QueueKeys]) -> tuple[int, float | None]:
        deleted = 0
        reading = {queue.name: session.names_read.get(queue.name, b"0") for queue in some}
        keys = [key for queue in some for key in _keys(queue)]
        for number in range(ROUNDS):
            now = session.clock.now()
            asked = min(share - deleted, ITEMS)
            args: list[Arg] = [math.floor(now), repr(now), asked, session.archive_limit]
            args += (session.archive_cutoff(), ITEMS, BATCH_MEMBERS, NAMES)
            args += (CLAIM_EXPIRED, BATCH_LEASE / 2)
            for queue in some:
                args += (queue.prefix, reading.get(queue.name, b""))
            step, coming, more, *cursors = await session.run_idempotent(LUA.sweep, keys, args)
            deleted += step
            for queue, cursor in zip(some, cursors, strict=True):
                if reading.pop(queue.name, None) is not None:
                    session.names_read[queue.name] = cursor
                    if cursor != b"0" and number < NAME_PAGES:
                        reading[queue.name] = cursor
            if not (more or reading or (step == asked and deleted < share)):
                return deleted, None if coming is None else float(coming)
        return deleted, now

    deleted, next_at = await in_rounds(session, queues, limit, call)
    if due := repair.due(session, queues):
        await repair.run(session, due)
        reachable = [queue for some in session.reachable(session.by_slot(due)) for queue in some]
        for queue in await session.with_key(reachable, lambda queue: queue.moving):
            await transfer.resume(session, queue)
    return Swept(deleted, next_at)


def _keys(queue: QueueKeys) -> list[str]:
    return [queue.completed, queue.archived, queue.batches, queue.groups, queue.known_groups]
