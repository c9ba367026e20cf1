"""Removing a queue with everything in it and of it (corrects B14), in steps that block nobody.

First its tasks, place by place, with their locks. Then whatever else bears its name: counters, hashes and locks of
tasks that are in no place, and what any version of anything ever kept beside them. That is found by looking through
the keys of the server, a thousand at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.admin import stats as look
from asynqio.brokers.redis.doctor.inventory import SCANNED_TOGETHER
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, queue_keys
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.errors import QueueNotFound, WrongState

#: Tasks removed per call.
REMOVED_TOGETHER = 200


async def remove_queue(session: Session, name: str, *, force: bool, progress: Progress | None) -> None:
    """See Inspection.drop."""
    queue = await look.known(session, name)
    keys = [queue.pending, queue.active, queue.paused, queue.groups, queue.batches]
    keys += [queue.lease, queue.scheduled, queue.retry, queue.archived, queue.completed, queue.moving]
    removed = 0
    while True:
        args: list[Word] = [queue.prefix, int(force), REMOVED_TOGETHER, math.floor(session.clock.now())]
        state, count = await session.run(LUA.remove_queue, keys, args)
        if state == -1:
            raise WrongState(f"queue {name!r} has {count} active tasks: wait, or cancel them")
        if state == -2:
            raise WrongState(f"queue {name!r} holds {count} tasks: remove it with force=True")
        removed, force = removed + count, True
        if progress is not None:
            progress(removed)
        if state == 1:
            break
    async for some in _keys_of(session, queue):
        tasks = sum(key.startswith(queue.task_prefix.encode()) for key in some)
        await session.redis.command(queue.pending, "UNLINK", *some)
        removed += tasks
        if progress is not None and tasks:
            progress(removed)
    session.unlist(name)
    if not await session.redis.command(QUEUES, "SREM", QUEUES, name):
        raise QueueNotFound(name)


async def _keys_of(session: Session, queue: QueueKeys) -> AsyncIterator[list[bytes]]:
    """Every key there is of a queue, some at a time."""
    names = map(shown, await session.redis.command(QUEUES, "SMEMBERS", QUEUES))
    others = _inside(queue, names)
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", queue.prefix) + "*"
    cursor = b"0"
    while True:
        cursor, found = await session.redis.command(
            queue.pending, "SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED_TOGETHER
        )
        if some := [key for key in found if not key.startswith(others)]:
            yield some
        if cursor == b"0":
            return


def _inside(queue: QueueKeys, names: Iterable[str]) -> tuple[bytes, ...]:
    """What the keys of queues begin with whose names make them look like keys of this one: `a}:b` beside `a`."""
    prefixes = (queue_keys(name).prefix for name in names if name != queue.name)
    return tuple(prefix.encode() for prefix in prefixes if prefix.startswith(queue.prefix))
