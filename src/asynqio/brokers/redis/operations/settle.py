"""Settle: apply settlements of leased tasks, fenced, each once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asynqio.brokers.contract.limits import STATS_AGE
from asynqio.brokers.redis.chunking import by_queue
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.due_score import due_score
from asynqio.brokers.redis.layout.fencing import HELD, token_of
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.messages import encode_failure_counters, encode_task
from asynqio.brokers.redis.layout.packing import optional, pack
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.attempts.record import RUNS_KEPT, encode_record
from asynqio.core.lifecycle import Settlement
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique_locks import freed_by

#: Looking up a member of an enum in its class takes 0.1 µs before Python 3.12, reading its value twice as long.
_RETRY, _ARCHIVED = TaskState.RETRY, TaskState.ARCHIVED


async def settle(session: Session, settlements: Sequence[Settlement]) -> list[bool]:
    """See Broker.settle."""
    answers = [False] * len(settlements)
    now = session.clock.now()
    specs = [_spec(settlement, now) for settlement in settlements]
    # A script call reads the stored message as well.
    sizes = [
        len(spec) + len(settlement.message.payload or b"")
        for spec, settlement in zip(specs, settlements, strict=True)
    ]

    async def call(name: str, indexes: Sequence[int]) -> None:
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
        args: list[Arg] = [
            queue.prefix,
            session.now_ns(),
            int(STATS_AGE),
            session.archive_limit,
            session.archive_cutoff(),
            RUNS_KEPT,
        ]
        prefix = queue.task_prefix
        resent = False
        for at in indexes:
            lease = settlements[at].lease
            id = lease.message.id
            keys.append(prefix + id)
            owner, fence = token_of(lease)
            resent |= lease.unconfirmed
            args += (id, owner, fence, specs[at])
        reply = await session.run_once(LUA.settle, keys, args, resent=resent)
        for at, held in zip(indexes, reply, strict=True):
            answers[at] = held == HELD

    leases = [settlement.lease for settlement in settlements]
    try:
        await by_queue([lease.message.queue for lease in leases], call, sizes)
    except Exception:
        # A later attempt must recognise what this one may have applied: one script call may fail beside others.
        for lease in leases:
            lease.unconfirmed = True
        raise
    return answers


def _spec(settlement: Settlement, now: float) -> bytes | str:
    """The `spec` of a settlement for scripts/tasks/settle.lua."""
    message, to = settlement.message, settlement.to
    if to is None and settlement.processed and not settlement.failed:
        return "-" + message.unique_key
    at = settlement.at
    score = due_score(at, now) if to is _RETRY else str(int(at) if to is _ARCHIVED else math.ceil(at))
    return pack(
        to or "",
        encode_task(message),
        score,
        "1" if settlement.processed else "",
        "1" if settlement.failed else "",
        message.unique_key if freed_by(message, to) else "",
        optional(settlement.result),
        encode_failure_counters(message),
        b"" if settlement.record is None else encode_record(settlement.record),
    )
