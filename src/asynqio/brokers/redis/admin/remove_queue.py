"""Remove a queue with all its keys (corrects B14), in short steps that do not block other clients.

First the tasks in its lists and sets, with their locks. Then every other key with its prefix: counters, tasks in no
list or set and their locks, and keys of other versions. They are found by scanning all keys of the server, 1,000 per
call.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.doctor.inventory import SCAN_BATCH_SIZE
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.errors import QueueNotFound, WrongState

#: Tasks removed per call.
REMOVE_BATCH_SIZE = 200


async def remove_queue(session: Session, name: str, *, force: bool, progress: Progress | None) -> None:
    """See Inspection.remove_queue."""
    queue = await session.registry.require(name)
    keys = [queue.pending, queue.active, queue.paused, queue.groups, queue.batches]
    keys += [queue.lease, queue.scheduled, queue.retry, queue.archived, queue.completed, queue.moving]
    removed = 0
    while True:
        args: list[Arg] = [queue.prefix, int(force), REMOVE_BATCH_SIZE, math.floor(session.clock.now())]
        state, count = await session.run(LUA.remove_queue, keys, args)
        if state == -1:
            raise WrongState(f"queue {name!r} has {count} active tasks: wait for them, or cancel them")
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
    session.registry.forget(name)
    if not await session.redis.command(QUEUES, "SREM", QUEUES, name):
        raise QueueNotFound(name)


async def _keys_of(session: Session, queue: QueueKeys) -> AsyncIterator[list[bytes]]:
    """All keys with the prefix of a queue, in chunks."""
    names = map(decode_lossy, await session.redis.command(QUEUES, "SMEMBERS", QUEUES))
    others = _nested_prefixes(queue, names)
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", queue.prefix) + "*"
    cursor = b"0"
    while True:
        cursor, found = await session.redis.command(
            queue.pending, "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_BATCH_SIZE
        )
        if some := [key for key in found if not key.startswith(others)]:
            yield some
        if cursor == b"0":
            return


def _nested_prefixes(queue: QueueKeys, names: Iterable[str]) -> tuple[bytes, ...]:
    """The prefixes of other queues whose keys begin with the prefix of this one: queue `a}:b` beside `a`."""
    prefixes = (queue_keys(name).prefix for name in names if name != queue.name)
    return tuple(prefix.encode() for prefix in prefixes if prefix.startswith(queue.prefix))
