"""What was decided about leased tasks is carried out, fenced, once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.limits import STATS_AGE
from asynqio.brokers.redis.layout.fencing import KEPT, token_of
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.messages import encode_strikes, encode_task
from asynqio.brokers.redis.layout.packing import maybe, pack
from asynqio.brokers.redis.scripts.batches import by_queue
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.attempts.record import RUNS_KEPT, encode_record
from asynqio.core.lifecycle import Settlement
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique_locks import freed_by
from asynqio.errors import BrokerUnavailable


async def settle(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    answers = [False] * len(settlements)

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        today = session.today()
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
            session.nanoseconds(),
            int(STATS_AGE),
            session.archive_limit,
            session.archive_cutoff(),
            RUNS_KEPT,
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
        reply = await session.certain(LUA.settle, keys, args, again=again)
        for at, kept in zip(places, reply, strict=True):
            answers[at] = kept == KEPT

    leases = [settlement.lease for settlement in settlements]
    try:
        await by_queue([lease.message.queue for lease in leases], call)
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
        message.unique_key if freed_by(message, settlement.to) else "",
        maybe(settlement.result),
        encode_strikes(message),
        b"" if settlement.record is None else encode_record(settlement.record),
    )
