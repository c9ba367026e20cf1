"""What can be wrong with what is stored in a queue: looked for in pieces, judged exactly, put right on demand."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.admin import stats as look
from asynqio.brokers.redis.connection.reconnecting import RedisError
from asynqio.brokers.redis.doctor import inventory
from asynqio.brokers.redis.doctor import servers as setup
from asynqio.brokers.redis.doctor.inventory import Keys
from asynqio.brokers.redis.layout.keys import SERVERS, QueueKeys, queue_keys
from asynqio.brokers.redis.operations.quarantine import GO_GRACE, OLDEST, shown
from asynqio.brokers.redis.operations.transfer import ABANDONED, resume
from asynqio.brokers.redis.scripts.batches import chunks
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.findings import Finding, Severity

#: Ids read per call, and odd ones judged per call; pending tasks passed by per call while they are judged.
READ_TOGETHER, JUDGED_TOGETHER, STEPS_TOGETHER = 1_000, 100, 200_000
#: Of a longer line only so many tasks, those that are next, are looked at.
LONG_LINE = 1_000_000
#: Seconds before its end at which the card of a server is late: it should have been renewed at least once.
LATE = 4.0


class _Walk:
    """One examination: what was found, and how far it is."""

    def __init__(self, session: Session, fix: bool, progress: Progress | None) -> None:
        self.session = session
        self.fix = fix
        self.found: list[Finding] = []
        self._seen = 0
        self._progress = progress

    def went(self, count: int) -> None:
        self._seen += count
        if self._progress is not None:
            self._progress(self._seen)

    def report(
        self,
        severity: Severity,
        code: str,
        queue: QueueKeys,
        sentence: str,
        advice: str,
        *,
        fixable: bool = True,
    ) -> None:
        advice = f"{advice}, or: --fix" if fixable else advice
        fixed = fixable and self.fix
        self.found.append(Finding(severity, code, sentence, advice, queue.name, fixable, fixed))


async def examine(session: Session, *, fix: bool, progress: Progress | None) -> list[Finding]:
    """See Inspection.examine."""
    walk = _Walk(session, fix, progress)
    walk.found += await setup.examine(session)
    walk.found += await _late(session)
    names = await look.queues(session)
    there = await inventory.take(session, names, walk.went)
    for name in names:
        try:
            await _queue(walk, queue_keys(name), there.pop(name))
        except RedisError as error:
            walk.found.append(
                Finding(
                    Severity.ERROR,
                    "queue-damaged",
                    f"queue {name!r} cannot be examined: {error}",
                    "find out who wrote that; then delete the key that is wrong, or drop the queue",
                    name,
                )
            )
    return walk.found


async def _queue(walk: _Walk, queue: QueueKeys, keys: Keys) -> None:
    await _strays(walk, queue, keys)
    await _unleased(walk, queue)
    await _groups(walk, queue, keys.groups)
    await _locks(walk, queue, keys.locks)
    await _journeys(walk, queue)


async def _late(session: Session) -> list[Finding]:
    now = session.clock.now()
    cards = await session.redis.command(SERVERS, "ZRANGEBYSCORE", SERVERS, f"({now}", now + LATE)
    return [
        Finding(
            Severity.WARNING,
            "server-late",
            f"server {shown(card).removeprefix(SERVERS + ':').strip('{}')} has missed its last heartbeat",
            "look whether it runs: its tasks go to others when their leases lapse",
        )
        for card in cards
    ]


# --- tasks and places -----------------------------------------------------------------------------


async def _strays(walk: _Walk, queue: QueueKeys, keys: Keys) -> None:
    session = walk.session
    # The keys were read first: whatever came in since is in a place. What changed its place while these were read may
    # look odd, so they are read once more for those that do.
    lost, odd = set(keys.tasks), set[bytes]()
    async for ids in _placed(session, queue, keys.groups):
        lost.difference_update(ids)
        states = await _states(session, queue, ids)
        odd.update(id for id, state in zip(ids, states, strict=True) if state is None)
        walk.went(len(ids))
    if lost:
        async for ids in _placed(session, queue, keys.groups):
            lost.difference_update(ids)
    if await session.redis.command(queue.pending, "LLEN", queue.pending) > LONG_LINE:
        lost.clear()  # nothing can be said of a line that was not read to its end
    ghosts, strays = 0, 0
    together = await _together(session, queue)
    candidates = sorted(odd | lost)
    for start in range(0, len(candidates), together):
        judged = await _judge(walk, queue, candidates[start : start + together])
        ghosts += judged.count(b"0")
        strays += judged.count(b"2")
    if ghosts:
        walk.report(
            Severity.WARNING,
            "ghosts",
            queue,
            f"queue {queue.name!r} lists {ghosts} ids without a task: their data was deleted or evicted",
            "servers drop them when they meet them",
        )
    if strays:
        walk.report(
            Severity.ERROR,
            "stray-tasks",
            queue,
            f"{strays} tasks of queue {queue.name!r} are in no list: nobody will ever run or show them",
            "run or delete them by their ids",
        )


async def _together(session: Session, queue: QueueKeys) -> int:
    """How many to judge in one call: each may cost a walk along the line, and no call may hold up the others."""
    size = int(await session.redis.command(queue.pending, "LLEN", queue.pending))
    return max(1, min(JUDGED_TOGETHER, STEPS_TOGETHER // (size + 1)))


async def _judge(walk: _Walk, queue: QueueKeys, ids: Sequence[bytes]) -> bytes:
    now = math.floor(walk.session.clock.now())
    keys = _hashes(queue, ids)
    args: list[Word] = [queue.prefix, now, int(walk.fix), *ids]
    answer = await walk.session.run(LUA.stray, keys, args)
    assert isinstance(answer, bytes)
    return answer


def _hashes(queue: QueueKeys, ids: Sequence[bytes]) -> list[Any]:
    """The keys of tasks, whatever bytes their ids are; the first is a text, by which a cluster finds the node."""
    prefix = queue.task_prefix.encode()
    return [queue.pending, *(prefix + id for id in ids)]


async def _states(session: Session, queue: QueueKeys, ids: Sequence[bytes]) -> list[bytes | None]:
    """What state each task says it is in; None: there is no task."""
    states: list[bytes | None] = await session.run(LUA.there, _hashes(queue, ids), []) if ids else []
    return states


async def _placed(session: Session, queue: QueueKeys, groups: Sequence[bytes]) -> AsyncIterator[list[bytes]]:
    """The ids in all places of a queue, some at a time."""
    command = session.redis.command
    for key in (queue.pending, queue.active):
        size = await command(key, "LLEN", key)
        for first in range(0, min(size, LONG_LINE), READ_TOGETHER):
            if ids := await command(key, "LRANGE", key, -first - READ_TOGETHER, -first - 1):
                yield ids
    sets: list[str | bytes] = [
        queue.scheduled,
        queue.retry,
        queue.archived,
        queue.completed,
        queue.moving,
        *groups,
    ]
    for one in sets:
        cursor = b"0"
        while True:
            cursor, flat = await command(queue.pending, "ZSCAN", one, cursor, "COUNT", READ_TOGETHER)
            if flat:
                yield flat[::2]
            if cursor == b"0":
                break


async def _unleased(walk: _Walk, queue: QueueKeys) -> None:
    lapsed = int(walk.session.clock.now()) - GO_GRACE - 1
    args: list[Word] = [lapsed, OLDEST, queue.task_prefix]
    found = await walk.session.repeat(LUA.repair, [queue.active, queue.lease], args)
    if found and walk.fix:
        await walk.session.repeat(LUA.repair, [queue.active, queue.lease], [*args, *found])
    if found:
        walk.report(
            Severity.ERROR,
            "no-lease",
            queue,
            f"{len(found)} active tasks of queue {queue.name!r} have no lease: Go would never recover them",
            "start a server of asynqio for the queue, which does",
        )


# --- groups, locks, journeys ----------------------------------------------------------------------


async def _groups(walk: _Walk, queue: QueueKeys, keys: Sequence[bytes]) -> None:
    session, stranded = walk.session, 0
    now = math.floor(session.clock.now())
    for some in chunks(keys):
        args: list[Word] = [queue.prefix, int(walk.fix), now - 1]
        named: list[Any] = [queue.groups, queue.batches, *some]
        stranded += (await session.run(LUA.stranded, named, args)).count(b"0")
    if stranded:
        walk.report(
            Severity.ERROR,
            "stranded-groups",
            queue,
            f"{stranded} groups of queue {queue.name!r} have members, but are not listed: nobody aggregates them",
            "let another task join the group",
        )
    left = await session.redis.command(queue.batches, "ZCOUNT", queue.batches, "-inf", now - ABANDONED)
    if left:
        walk.report(
            Severity.WARNING,
            "batches-left",
            queue,
            f"{left} batches of groups of queue {queue.name!r} were claimed by a server that is gone",
            "start a server for the queue, which gives their tasks back to the groups",
        )


async def _locks(walk: _Walk, queue: QueueKeys, keys: Sequence[bytes]) -> None:
    """Locks whose task is gone, but for those that are meant to outlive it (throttles). They lapse by themselves."""
    session, left = walk.session, 0
    for some in chunks(keys):
        holders = await session.redis.command(queue.pending, "MGET", *some)
        held = [(id, key) for id, key in zip(holders, some, strict=True) if id is not None]
        states = await _states(session, queue, [id for id, _ in held])
        gone = [id + b"\n" + key for (id, key), state in zip(held, states, strict=True) if state is None]
        if gone:
            throttles = await session.redis.command(queue.throttles, "ZMSCORE", queue.throttles, *gone)
            left += throttles.count(None)
    if left:
        walk.report(
            Severity.INFO,
            "locks-left",
            queue,
            f"{left} uniqueness locks of queue {queue.name!r} are held by tasks that are gone",
            "wait until they lapse, or enqueue without unique=",
            fixable=False,
        )


async def _journeys(walk: _Walk, queue: QueueKeys) -> None:
    old = math.floor(walk.session.clock.now() - ABANDONED)
    left = await walk.session.redis.command(queue.moving, "ZCOUNT", queue.moving, "-inf", old)
    if left and walk.fix:
        await resume(walk.session, queue)
    if left:
        walk.report(
            Severity.WARNING,
            "journeys-left",
            queue,
            f"{left} tasks are on their way from or to queue {queue.name!r}, and nobody sees to them",
            "start a server for the queue, which ends that",
        )
