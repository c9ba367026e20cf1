"""Checks of the data of one queue: found in bounded calls, verified atomically, repaired on request."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.chunking import chunks
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.doctor.inventory import Keys
from asynqio.brokers.redis.layout.keys import QueueKeys, is_old_message
from asynqio.brokers.redis.operations.leases import find_orphans
from asynqio.brokers.redis.operations.transfer import INTERRUPTED_AFTER, resume
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity

#: Ids read per call; inconsistent ids verified per call; pending tasks traversed per call to verify them.
READ_BATCH_SIZE, VERIFY_BATCH_SIZE, TRAVERSAL_LIMIT = 1_000, 100, 200_000
#: Of a longer list, only the next tasks are read, up to this number.
LIST_LIMIT = 1_000_000


class Examination:
    """One run of the doctor: its findings and its progress."""

    def __init__(self, session: Session, fix: bool, progress: Progress | None) -> None:
        self.session = session
        self.fix = fix
        self.findings: list[Finding] = []
        self._seen = 0
        self._progress = progress

    def advance(self, count: int) -> None:
        """Report that `count` more keys or ids have been read."""
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
        """Add a finding about a queue."""
        advice = f"{advice}, or: --fix" if fixable else advice
        fixed = fixable and self.fix
        self.findings.append(Finding(severity, code, sentence, advice, queue.name, fixable, fixed))


async def check_queue(run: Examination, queue: QueueKeys, keys: Keys) -> None:
    """Check one queue, whose keys were scanned before."""
    await _check_ids(run, queue, keys)
    await _check_leases(run, queue)
    await _check_old_layout(run, queue)
    await _check_groups(run, queue, keys.groups)
    await _check_locks(run, queue, keys.locks)
    await _check_transfers(run, queue)


# --- tasks, lists and sets ------------------------------------------------------------------------


async def _check_ids(run: Examination, queue: QueueKeys, keys: Keys) -> None:
    session = run.session
    # The keys were scanned first, so tasks that came in since are in a list or set. Tasks that changed state while
    # the lists and sets were read may seem unlisted, so these are read a second time.
    unlisted, missing = set(keys.tasks), set[bytes]()
    async for ids in _listed_ids(session, queue, keys.groups):
        unlisted.difference_update(ids)
        states = await _states(session, queue, ids)
        missing.update(
            id for id, state in zip(ids, states, strict=True) if state is None and not is_old_message(id)
        )
        run.advance(len(ids))
    if unlisted:
        async for ids in _listed_ids(session, queue, keys.groups):
            unlisted.difference_update(ids)
    if await session.redis.command(queue.pending, "LLEN", queue.pending) > LIST_LIMIT:
        unlisted.clear()  # the list was not read to its end
    ghosts, orphans = 0, 0
    size = await _verify_batch_size(session, queue)
    candidates = sorted(missing | unlisted)
    for start in range(0, len(candidates), size):
        verified = await _verify(run, queue, candidates[start : start + size])
        ghosts += verified.count(b"0")
        orphans += verified.count(b"2")
    if ghosts:
        run.report(
            Severity.WARNING,
            "ghosts",
            queue,
            f"queue {queue.name!r} lists {ghosts} ids without a task: their data was deleted or evicted",
            "servers delete them when they dequeue them",
        )
    if orphans:
        run.report(
            Severity.ERROR,
            "orphaned-tasks",
            queue,
            f"{orphans} tasks of queue {queue.name!r} are in no list: no server will ever run or show them",
            "run or delete them by their ids",
        )


async def _verify_batch_size(session: Session, queue: QueueKeys) -> int:
    """How many ids to verify per call: each may traverse the whole list, and no call may block other clients."""
    size = int(await session.redis.command(queue.pending, "LLEN", queue.pending))
    return max(1, min(VERIFY_BATCH_SIZE, TRAVERSAL_LIMIT // (size + 1)))


async def _verify(run: Examination, queue: QueueKeys, ids: Sequence[bytes]) -> bytes:
    now = math.floor(run.session.clock.now())
    keys = _hashes(queue, ids)
    args: list[Arg] = [queue.prefix, now, int(run.fix), *ids]
    answer = await run.session.run(LUA.orphaned_ids, keys, args)
    assert isinstance(answer, bytes)
    return answer


def _hashes(queue: QueueKeys, ids: Sequence[bytes]) -> list[Any]:
    """The keys of tasks; ids may be any bytes. The first key is text, because it routes the call in a cluster."""
    prefix = queue.task_prefix.encode()
    return [queue.pending, *(prefix + id for id in ids)]


async def _states(session: Session, queue: QueueKeys, ids: Sequence[bytes]) -> list[bytes | None]:
    """The recorded state of each task; None for a missing task."""
    states: list[bytes | None] = await session.run(LUA.task_states, _hashes(queue, ids), []) if ids else []
    return states


async def _listed_ids(
    session: Session, queue: QueueKeys, groups: Sequence[bytes]
) -> AsyncIterator[list[bytes]]:
    """The ids in all lists and sets of a queue, in chunks."""
    command = session.redis.command
    for key in (queue.pending, queue.active):
        size = await command(key, "LLEN", key)
        for first in range(0, min(size, LIST_LIMIT), READ_BATCH_SIZE):
            if ids := await command(key, "LRANGE", key, -first - READ_BATCH_SIZE, -first - 1):
                yield ids
    others: list[str | bytes] = [
        queue.scheduled,
        queue.retry,
        queue.archived,
        queue.completed,
        queue.moving,
        *groups,
    ]
    for other in others:
        cursor = b"0"
        while True:
            cursor, flat = await command(queue.pending, "ZSCAN", other, cursor, "COUNT", READ_BATCH_SIZE)
            if flat:
                yield flat[::2]
            if cursor == b"0":
                break


async def _check_leases(run: Examination, queue: QueueKeys) -> None:
    found = await find_orphans(run.session, queue)
    if found.ids and run.fix:
        await find_orphans(run.session, queue, found.ids)
    if found.ids:
        run.report(
            Severity.ERROR,
            "no-lease",
            queue,
            f"{len(found.ids)} active tasks of queue {queue.name!r} have no lease: Go would never recover them",
            "start an asynqio server for the queue, which recovers them",
        )
    if found.on_old_servers:
        run.report(
            Severity.WARNING,
            "old-go-server",
            queue,
            f"a Go server older than asynq 0.22 runs {found.on_old_servers} tasks of queue {queue.name!r}: it keeps "
            "no leases and cannot take tasks of newer clients",
            "upgrade it; until then its running tasks are left to it until 30 s after their deadline",
            fixable=False,
        )


async def _check_old_layout(run: Examination, queue: QueueKeys) -> None:
    """Tasks in the layout of Go before 0.18: whole messages in lists and sorted sets, which nothing here runs."""
    command = run.session.redis.command
    count = 0
    for key in (queue.prefix[:-1], queue.prefix + "in_progress"):
        count += await _size(run, key, "LLEN")
    count += await _size(run, queue.prefix + "dead", "ZCARD")
    count += await _size(run, queue.old_messages, "ZCARD")
    for key in (queue.scheduled, queue.retry, queue.archived):
        # Members with equal scores are ordered by their bytes, so this reads only a sample; one is enough to report.
        found = await command(key, "ZRANGE", key, 0, READ_BATCH_SIZE - 1)
        count += sum(is_old_message(member) for member in found)
    found = await command(queue.active, "LRANGE", queue.active, -READ_BATCH_SIZE, -1)
    count += sum(is_old_message(member) for member in found)
    if count:
        run.report(
            Severity.ERROR,
            "old-layout",
            queue,
            f"queue {queue.name!r} has at least {count} tasks in the layout of Go asynq before 0.18: they are kept, "
            "but nothing runs them",
            "run them with a server of the version that stored them, or enqueue them again (docs/from-go.md)",
            fixable=False,
        )


async def _size(run: Examination, key: str, command: str) -> int:
    """The size of a key of the old layout; 0 if it is something else."""
    try:
        return int(await run.session.redis.command(key, command, key))
    except RedisError:
        return 0


# --- groups, locks, transfers ---------------------------------------------------------------------


async def _check_groups(run: Examination, queue: QueueKeys, keys: Sequence[bytes]) -> None:
    session, unlisted = run.session, 0
    now = math.floor(session.clock.now())
    for some in chunks(keys):
        args: list[Arg] = [queue.prefix, int(run.fix), now - 1]
        named: list[Any] = [queue.groups, queue.batches, *some]
        unlisted += (await session.run(LUA.unlisted_groups, named, args)).count(b"0")
    if unlisted:
        run.report(
            Severity.ERROR,
            "unlisted-groups",
            queue,
            f"{unlisted} groups of queue {queue.name!r} have members, but are not listed: no server aggregates them",
            "add another task to the group",
        )
    left = await session.redis.command(
        queue.batches, "ZCOUNT", queue.batches, "-inf", now - INTERRUPTED_AFTER
    )
    if left:
        run.report(
            Severity.WARNING,
            "batches-left",
            queue,
            f"{left} batches of groups of queue {queue.name!r} were claimed by a server that no longer runs",
            "start a server for the queue, which returns their tasks to the groups",
        )


async def _check_locks(run: Examination, queue: QueueKeys, keys: Sequence[bytes]) -> None:
    """Locks whose task is deleted, except throttles, which are meant to outlive it. They lapse on their own."""
    session, count = run.session, 0
    for some in chunks(keys):
        holders = await session.redis.command(queue.pending, "MGET", *some)
        held = [(id, key) for id, key in zip(holders, some, strict=True) if id is not None]
        states = await _states(session, queue, [id for id, _ in held])
        deleted = [id + b"\n" + key for (id, key), state in zip(held, states, strict=True) if state is None]
        if deleted:
            throttles = await session.redis.command(queue.throttles, "ZMSCORE", queue.throttles, *deleted)
            count += throttles.count(None)
    if count:
        run.report(
            Severity.INFO,
            "locks-left",
            queue,
            f"{count} uniqueness locks of queue {queue.name!r} are held by deleted tasks",
            "wait until they lapse, or enqueue without unique=",
            fixable=False,
        )


async def _check_transfers(run: Examination, queue: QueueKeys) -> None:
    before = math.floor(run.session.clock.now() - INTERRUPTED_AFTER)
    left = await run.session.redis.command(queue.moving, "ZCOUNT", queue.moving, "-inf", before)
    if left and run.fix:
        await resume(run.session, queue)
    if left:
        run.report(
            Severity.WARNING,
            "transfers-left",
            queue,
            f"{left} transfers of tasks from or to queue {queue.name!r} were interrupted",
            "start a server for the queue, which completes them",
        )
