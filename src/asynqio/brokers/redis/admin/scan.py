"""Walking through the tasks of a state, whatever happens to them meanwhile; changes nothing.

A sorted set has an order of its own: a place in it is a score and an id, there or not. A list has only positions, and
they move: towards the old end when older tasks are taken, away from it when tasks are put to the front. So a place
in a list is a position and some of the ids that stood around it; from time to time they have to be looked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from asynqio.brokers.contract.cursors import decode_cursor, encode_cursor
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.redis.admin.stats import find, known
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.operations.groups import group_names
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.batches import BATCH_SIZE
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.task.message import TaskRef, TaskState

#: Ids remembered on each side of a place. All of them must be taken out of the middle before we lose our way.
AROUND = 4
#: Ids looked through by one call, about 0.2 ms.
WINDOW = 2_000
#: Most tasks at once that are expected to be put to the front of a line between two steps.
PUT_TO_FRONT = 20_000


class Mark(NamedTuple):
    """A place in a sorted set: a score as Redis writes it, and an id.

    In places ids are kept as Latin-1, byte for byte: whatever somebody wrote there, it must be found again.
    """

    score: str
    id: str


class Spot(NamedTuple):
    """A place in a list: how many stood before it, some ids behind it and some before it, nearest first."""

    passed: int
    behind: list[str]
    before: list[str]


async def scan(session: Session, where: Where, after: str, size: int) -> Scan:
    """See Inspection.scan."""
    queue = await known(session, where.queue)
    size = min(size, BATCH_SIZE)
    if where.state in (TaskState.PENDING, TaskState.ACTIVE):
        ids, place = await _line(session, f"{queue.prefix}{where.state.value}", after, size)
    else:
        ids, place = await _scores(session, queue, where, after, size)
    found = await find(session, [TaskRef(queue.name, shown(id)) for id in ids])
    return Scan([info for info in found if info is not None and info.state is where.state], place)


async def members(session: Session, queue: QueueKeys, group: str) -> AsyncIterator[list[str]]:
    """The tasks that wait in a group, claimed or not, some at a time: whoever stays there is among them."""
    after = ""
    while True:
        where = Where(queue.name, TaskState.AGGREGATING, group)
        ids, after = await _scores(session, queue, where, after, BATCH_SIZE)
        if ids:
            yield [shown(id) for id in ids]
        if not after:
            return


async def names_of_groups(session: Session, name: str) -> list[str]:
    """See Inspection.group_names."""
    queue = await known(session, name)
    found = {group async for some in group_names(session, queue) for group in some}
    start = queue.group("")
    for batch in await session.redis.command(queue.batches, "ZRANGE", queue.batches, 0, -1):
        found.add(shown(batch).rpartition(":")[0].removeprefix(start))
    return sorted(found)


# --- sorted sets ----------------------------------------------------------------------------------


async def _scores(
    session: Session, queue: QueueKeys, where: Where, after: str, size: int
) -> tuple[list[bytes], str]:
    key, batches = f"{queue.prefix}{where.state.value}", ""
    if where.state is TaskState.AGGREGATING:
        if not where.group:
            raise ValueError("a scan of aggregating tasks needs a group: name one")
        key = queue.group(where.group)
        batches = f"{key}:"
    score, id = decode_cursor(Mark, after) or Mark("", "")
    backwards = int(where.state in (TaskState.ARCHIVED, TaskState.COMPLETED))
    args: list[Word] = [backwards, size, score, id.encode("latin-1", "replace"), batches]
    flat = await session.run(LUA.scan_scores, [key, queue.batches], args)
    ids = flat[::2]
    return ids, _place(Mark(flat[-1].decode(), _kept(ids[-1]))) if len(ids) == size else ""


# --- lists ----------------------------------------------------------------------------------------


async def _line(session: Session, key: str, after: str, size: int) -> tuple[list[bytes], str]:
    place, behind, before = decode_cursor(Spot, after) or Spot(0, [], [])
    around: list[Word] = [id.encode("latin-1", "replace") for id in (*behind, *before)]
    windows = _windows(place)
    while True:
        first, last = next(windows)
        args: list[Word] = [place, size + AROUND, first, last, len(behind)]
        at, *ids = await session.run(LUA.scan_line, [key], [*args, *around])
        if at >= 0:
            break
        # Not here. It may have become much shorter: then nothing is beyond its end.
        if place > ids[0]:
            place = ids[0]
            windows = _windows(place)
        elif (first, last) == _LOST:
            # Nobody of all who stood there is left: from the beginning, rather than to miss anybody.
            place, around, behind = 0, [], []
    shown, following = ids[:size], ids[size:]
    if not following:
        return shown, ""
    passed = [*map(_kept, reversed(shown[-AROUND:])), *before][:AROUND]
    return shown, _place(Spot(at + len(shown), [_kept(id) for id in following], passed))


_LOST = (0, 0)


def _windows(place: int) -> Iterator[tuple[int, int]]:
    """Where to look for it: around it, then step by step down to the old end, then some way up. `_LOST` at last."""
    start = max(0, place - WINDOW + WINDOW // 10)
    yield start, start + WINDOW
    for first in range(start - WINDOW, -WINDOW, -WINDOW):
        yield max(0, first), first + WINDOW
    for first in range(start + WINDOW, start + PUT_TO_FRONT, WINDOW):
        yield first, first + WINDOW
    while True:
        yield _LOST


def _kept(id: bytes) -> str:
    return id.decode("latin-1")


def _place(place: Spot | Mark) -> str:
    return encode_cursor(place).decode()


def place_of(near: str) -> int:
    """How many stood before a place in a list, as far as its text tells."""
    spot = decode_cursor(Spot, near)
    return spot.passed if spot is not None else 0
