"""Remove a queue with all its keys (corrects B14), in short steps that do not block other clients.

A queue is removed at a moment at which it has no tasks, by the script that checks it. With force, steps before that
delete its tasks. Then follow the keys that no list or set refers to: tasks and locks that were left behind, daily
counters, and keys of other versions. They are found by scanning all keys of the server, 1,000 per call.

Meanwhile producers may use the queue again. So each step deletes only what it has checked itself, and the queue stays
listed if it has tasks at the end.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError, is_missing_command
from asynqio.brokers.redis.doctor.inventory import SCAN_BATCH_SIZE
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, day_of, decode_lossy, queue_keys
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.small_write import small_write
from asynqio.errors import QueueNotFound, WrongState

log = logging.getLogger("asynqio.redis")

#: Tasks removed per call.
REMOVE_BATCH_SIZE = 200
#: Leftover keys checked per call.
LEFTOVERS_BATCH_SIZE = 50
#: Seconds after which the queue is no longer paused if the caller dies between two calls.
PAUSE = 60
#: Days for which daily counters are kept.
DAYS_COUNTED = 90
#: Pending tasks that a leftover is searched in, about 0.1 ms. A queue that has more by then is in use again: `doctor`
#: finds what is left.
PENDING_SEARCHED = 10_000


async def remove_queue(session: Session, name: str, *, force: bool, progress: Progress | None) -> None:
    """See Inspection.remove_queue."""
    queue = await session.registry.require(name)
    removed = 0

    def advance(count: int) -> None:
        nonlocal removed
        removed += count
        if progress is not None and count:
            progress(removed)

    while True:
        await _remove_tasks(session, queue, force, advance)
        leftovers = [key async for some in _keys_of(session, queue) for key in some]
        start = queue.group("").encode()
        groups = [key for key in leftovers if key.startswith(start)]
        # List the groups and batches first: their tasks are not left over.
        if not await _remove_leftovers(session, queue, groups, advance):
            others = [key for key in leftovers if not key.startswith(start)]
            await _remove_leftovers(session, queue, others, advance)
            break
    session.registry.forget(name)
    listed = await session.redis.command(QUEUES, "SREM", QUEUES, name)
    if await session.redis.command(queue.pending, "EXISTS", *_places(queue)):
        await small_write(session.redis, "SADD", QUEUES, name)  # in use again
    elif not listed:
        raise QueueNotFound(name)


async def _remove_tasks(
    session: Session, queue: QueueKeys, force: bool, advance: Callable[[int], None]
) -> None:
    """Delete the tasks and the keys of the queue. Raises WrongState, also if it gets active tasks meanwhile."""
    keys = [queue.pending, queue.active, queue.paused, queue.groups, queue.batches, queue.known_groups]
    keys += [queue.lease, queue.scheduled, queue.retry, queue.archived, queue.completed, queue.moving]
    keys += _others(queue)
    while True:
        args: list[Arg] = [
            queue.prefix,
            int(force),
            REMOVE_BATCH_SIZE,
            math.floor(session.clock.now()),
            PAUSE,
        ]
        state, count = await session.run(LUA.remove_queue, keys, args)
        if state == -1:
            raise WrongState(f"queue {queue.name!r} has {count} active tasks: wait for them, or cancel them")
        if state == -2:
            raise WrongState(f"queue {queue.name!r} holds {count} tasks: remove it with force=True")
        advance(count)
        if state == 1:
            return


async def _remove_leftovers(
    session: Session, queue: QueueKeys, found: list[bytes], advance: Callable[[int], None]
) -> int:
    """Delete those of the keys that nothing refers to. Returns how many groups and batches were not listed."""
    used = [*_places(queue), queue.paused, queue.known_groups, *_others(queue)]
    args: list[Arg] = [queue.prefix, PENDING_SEARCHED, *used]
    unlisted = 0
    for start in range(0, len(found), LEFTOVERS_BATCH_SIZE):
        keys: list[Any] = [queue.pending, queue.groups, queue.batches, queue.throttles]
        keys += found[start : start + LEFTOVERS_BATCH_SIZE]
        deleted, listed = await session.run_idempotent(LUA.remove_leftovers, keys, args)
        advance(deleted)
        unlisted += listed
    return unlisted


def _places(queue: QueueKeys) -> list[str]:
    """The lists and sets in which tasks are."""
    lists = [queue.pending, queue.active, queue.groups, queue.batches]
    return [
        *lists,
        queue.lease,
        queue.scheduled,
        queue.retry,
        queue.archived,
        queue.completed,
        queue.moving,
    ]


def _others(queue: QueueKeys) -> list[str]:
    """The other keys with fixed names, except `paused` and the known groups."""
    counters = [queue.processed, queue.failed, queue.counts]
    return [
        *counters,
        queue.cron,
        queue.flushed,
        queue.failures,
        queue.group_rules,
        queue.paused_types,
        queue.left,
        queue.soon,
        queue.throttles,
    ]


async def _keys_of(session: Session, queue: QueueKeys) -> AsyncIterator[list[bytes]]:
    """All keys with the prefix of a queue, in chunks."""
    names = map(decode_lossy, await session.redis.command(QUEUES, "SMEMBERS", QUEUES))
    others = _nested_prefixes(queue, names)
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", queue.prefix) + "*"
    cursor = b"0"
    while True:
        try:
            cursor, found = await session.redis.command(
                queue.pending, "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_BATCH_SIZE
            )
        except RedisError as error:
            if not is_missing_command(error):
                raise
            log.warning(
                "queue %r is removed, but without SCAN, keys that nothing refers to are not found: %s",
                queue.name,
                error,
                extra={"event": "leftovers_not_searched", "queue": queue.name, "error": str(error)},
            )
            yield _daily_counters(session, queue)
            return
        if some := [key for key in found if not key.startswith(others)]:
            yield some
        if cursor == b"0":
            return


def _daily_counters(session: Session, queue: QueueKeys) -> list[bytes]:
    """The names of the daily counters, which exist for 90 days."""
    today = int(session.clock.now() // 86_400)
    days = [day_of(today - ago) for ago in range(-1, DAYS_COUNTED + 1)]
    return [name(day).encode() for day in days for name in (queue.processed_on, queue.failed_on)]


def _nested_prefixes(queue: QueueKeys, names: Iterable[str]) -> tuple[bytes, ...]:
    """The prefixes of other queues whose keys begin with the prefix of this one: queue `a}:b` beside `a`."""
    prefixes = (queue_keys(name).prefix for name in names if name != queue.name)
    return tuple(prefix.encode() for prefix in prefixes if prefix.startswith(queue.prefix))
