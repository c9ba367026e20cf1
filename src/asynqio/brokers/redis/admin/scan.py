"""Scan the tasks of a state with a cursor that stays valid while tasks come and go; changes nothing.

In a sorted set, a cursor is a score and an id, whether that id still exists or not. A list has only positions, which
shift: towards the oldest end when older tasks are dequeued, away from it when tasks are handed back. So a cursor in a
list is a position together with ids around it, by which the position is found again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from asynqio.brokers.contract.cursors import decode_cursor, encode_cursor
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.redis.admin.tasks import find
from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy
from asynqio.brokers.redis.operations import groups
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskRef, TaskState

#: Ids stored on each side of a cursor. It is lost only if all of them leave the list out of order.
NEIGHBOURS = 4
#: Ids searched per call, about 0.2 ms.
WINDOW = 2_000
#: The most tasks that are expected to be handed back to the front between two calls.
HANDED_BACK = 20_000


class SetCursor(NamedTuple):
    """A position in a sorted set: a score as Redis formats it, and an id.

    Cursors contain ids as Latin-1, byte for byte, so that ids with invalid UTF-8 are found again.
    """

    score: str
    id: str


class ListCursor(NamedTuple):
    """A position in a list: how many ids were before it, some ids behind and some before it, nearest first."""

    passed: int
    behind: list[str]
    before: list[str]


async def scan(session: Session, where: Where, after: str, size: int) -> Scan:
    """See Inspection.scan."""
    queue = await session.registry.require(where.queue)
    size = min(size, BATCH_SIZE)
    if where.state in (TaskState.PENDING, TaskState.ACTIVE):
        ids, cursor = await _scan_list(session, f"{queue.prefix}{where.state.value}", after, size)
    else:
        ids, cursor = await _scan_set(session, queue, where, after, size)
    found = await find(session, [TaskRef(queue.name, decode_lossy(id)) for id in ids])
    return Scan([info for info in found if info is not None and info.state is where.state], cursor)


async def members(session: Session, queue: QueueKeys, group: str) -> AsyncIterator[list[str]]:
    """The ids of the tasks in a group, claimed or not, in chunks; complete for tasks that stay."""
    after = ""
    while True:
        where = Where(queue.name, TaskState.AGGREGATING, group)
        ids, after = await _scan_set(session, queue, where, after, BATCH_SIZE)
        if ids:
            yield [decode_lossy(id) for id in ids]
        if not after:
            return


async def group_names(session: Session, name: str) -> list[str]:
    """See Inspection.group_names."""
    queue = await session.registry.require(name)
    found = {group async for some in groups.group_names(session, queue) for group in some}
    start = queue.group("")
    for batch in await session.redis.command(queue.batches, "ZRANGE", queue.batches, 0, -1):
        found.add(decode_lossy(batch).rpartition(":")[0].removeprefix(start))
    return sorted(found)


# --- sorted sets ----------------------------------------------------------------------------------


async def _scan_set(
    session: Session, queue: QueueKeys, where: Where, after: str, size: int
) -> tuple[list[bytes], str]:
    key, batches = f"{queue.prefix}{where.state.value}", ""
    if where.state is TaskState.AGGREGATING:
        if not where.group:
            raise ValueError("aggregating tasks are scanned one group at a time: name it with group=")
        key = queue.group(where.group)
        batches = f"{key}:"
    score, id = decode_cursor(SetCursor, after) or SetCursor("", "")
    backwards = int(where.state in (TaskState.ARCHIVED, TaskState.COMPLETED))
    args: list[Arg] = [backwards, size, score, id.encode("latin-1", "replace"), batches]
    flat = await session.run(LUA.scan_sorted_set, [key, queue.batches], args)
    ids = flat[::2]
    return ids, _encode(SetCursor(flat[-1].decode(), _latin1(ids[-1]))) if len(ids) == size else ""


# --- lists ----------------------------------------------------------------------------------------


async def _scan_list(session: Session, key: str, after: str, size: int) -> tuple[list[bytes], str]:
    position, behind, before = decode_cursor(ListCursor, after) or ListCursor(0, [], [])
    neighbours: list[Arg] = [id.encode("latin-1", "replace") for id in (*behind, *before)]
    windows = _windows(position)
    while True:
        first, last = next(windows)
        args: list[Arg] = [position, size + NEIGHBOURS, first, last, len(behind)]
        at, *ids = await session.run(LUA.scan_list, [key], [*args, *neighbours])
        if at >= 0:
            break
        # Not in this window. If the list is shorter now, there is nothing beyond its end.
        if position > ids[0]:
            position = ids[0]
            windows = _windows(position)
        elif (first, last) == _LOST:
            # No neighbour is left: start from the beginning rather than skip tasks.
            position, neighbours, behind = 0, [], []
    page, following = ids[:size], ids[size:]
    if not following:
        return page, ""
    passed = [*map(_latin1, reversed(page[-NEIGHBOURS:])), *before][:NEIGHBOURS]
    return page, _encode(ListCursor(at + len(page), [_latin1(id) for id in following], passed))


_LOST = (0, 0)


def _windows(position: int) -> Iterator[tuple[int, int]]:
    """The ranges to search: around the position, then down to the oldest end, then some way up; finally `_LOST`."""
    start = max(0, position - WINDOW + WINDOW // 10)
    yield start, start + WINDOW
    for first in range(start - WINDOW, -WINDOW, -WINDOW):
        yield max(0, first), first + WINDOW
    for first in range(start + WINDOW, start + HANDED_BACK, WINDOW):
        yield first, first + WINDOW
    while True:
        yield _LOST


def _latin1(id: bytes) -> str:
    return id.decode("latin-1")


def _encode(cursor: ListCursor | SetCursor) -> str:
    return encode_cursor(cursor).decode()


def position_of(near: str) -> int:
    """How many ids were before a cursor in a list; 0 if it is not such a cursor."""
    cursor = decode_cursor(ListCursor, near)
    return cursor.passed if cursor is not None else 0
