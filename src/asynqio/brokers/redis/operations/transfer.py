"""Putting tasks into another queue, whose keys may live on another server: so in steps, each whole by itself.

park    at home: out of its place, so that nobody takes it any more
park    there: a copy, out of reach as well
gone    at home: the one at home is deleted, and this is kept in mind
live    there: the copy takes its place
over    at home: it need not be kept in mind any more

So there is at every moment one at least, and never one that can be taken in each queue. Every step may be done again;
who calls again begins at the first and so ends what was begun. `resume` does that for those whose caller is gone.

Several may be at it at once, one of them very late. So each journey has a name, and home decides: who parks takes the
task over from earlier journeys, which come to their end no more (`gone` refuses them). A copy counts only if home
knows that the task went on that very journey; it is dropped if it never will.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.contract.results import Moved
from asynqio.brokers.redis.layout.keys import QueueKeys, queue_keys
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.layout.packing import pack, unpack
from asynqio.brokers.redis.operations import quarantine as damage
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.task.message import TaskRef
from asynqio.core.task.unique_locks import in_queue
from asynqio.errors import CorruptMessage

_REFUSED = {b"0": Moved.ID_CONFLICT, b"2": Moved.DUPLICATE}
#: Tasks moved per call: each is copied whole.
BATCH_SIZE = 50
#: Tasks whose journey began so many seconds ago have nobody who sees to them.
ABANDONED = 60.0


class Route(NamedTuple):
    """From where to where."""

    home: QueueKeys
    there: QueueKeys


async def transfer(session: Session, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    """See Inspection.transfer."""
    found: dict[TaskRef, Moved] = {}
    for name in dict.fromkeys(ref.queue for ref in refs):
        ids = list(dict.fromkeys(ref.id for ref in refs if ref.queue == name))
        route = Route(queue_keys(name), session.keys(target))
        for start in range(0, len(ids), BATCH_SIZE):
            answers = await _transfer(session, route, ids[start : start + BATCH_SIZE])
            found |= {TaskRef(name, id): answer for id, answer in answers.items()}
    return [found[ref] for ref in refs]


async def _transfer(session: Session, route: Route, ids: Sequence[str]) -> dict[str, Moved]:
    answers, looked = await _look(session, route, ids)
    if gone := [id for id, answer in answers.items() if answer is Moved.NOT_FOUND]:
        # An earlier call may have come as far as that.
        answers |= dict.fromkeys(
            await _settle(session, route, await _copies(session, route, gone)), Moved.DONE
        )
    if route.home.name == route.there.name:
        return answers | dict.fromkeys(looked, Moved.WRONG_STATE)
    if not looked:
        return answers
    refused = _refused(await _arrive(session, route, "look", looked))
    answers |= refused
    trip = secrets.token_hex(8)
    wanted = dict.fromkeys((id for id in looked if id not in refused), trip)
    parked: dict[str, bytes] = {}
    for id, row in (await _depart(session, route, "park", wanted)).items():
        if row in (b"0", b"2"):  # somebody was quicker
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
        else:
            parked[id] = _copy(route, row, trip)
    if not parked:
        return answers
    await session.listed([route.there.name])
    refused = await _park_there(session, route, parked)
    answers |= refused
    await _depart(session, route, "back", dict.fromkeys(refused, trip))
    moving = dict.fromkeys((id for id in parked if id not in refused), trip)
    return answers | await _go(session, route, moving)


async def _look(
    session: Session, route: Route, ids: Sequence[str]
) -> tuple[dict[str, Moved], dict[str, bytes]]:
    """What can be said at once, and what the other queue is to be asked about the rest."""
    answers: dict[str, Moved] = {}
    asked: dict[str, bytes] = {}
    for id, row in (await _depart(session, route, "look", dict.fromkeys(ids, ""))).items():
        if row in (b"0", b"2"):
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
            continue
        _, msg, lock = row
        try:
            message = damage.read(route.home, id.encode(), msg)
        except CorruptMessage:
            answers[id] = Moved.WRONG_STATE
            continue
        asked[id] = pack(in_queue(message, route.there.name).unique_key if lock else "")
    return answers, asked


def _copy(route: Route, row: Sequence[bytes], trip: str) -> bytes:
    """What the other queue is told to keep of a task that was parked."""
    _, state, score, ttl, *flat = row
    hash = dict(zip(flat[::2], flat[1::2], strict=True))
    after = in_queue(decode_task(hash[b"msg"]), route.there.name)
    hash[b"msg"] = encode_task(after)
    if b"unique_key" in hash:
        hash[b"unique_key"] = after.unique_key.encode()
    lock = after.unique_key if ttl else ""
    return pack(trip, lock, ttl, state, score, *(word for pair in hash.items() for word in pair))


async def _park_there(session: Session, route: Route, parked: Mapping[str, bytes]) -> dict[str, Moved]:
    """Those that the other queue refuses, and why. A copy of an earlier journey is settled first."""
    answers = await _arrive(session, route, "park", parked)
    if earlier := _journeys(answers):
        await _settle(session, route, earlier)
        answers |= await _arrive(session, route, "park", {id: parked[id] for id in earlier})
    # A later one, which took over from ours.
    return _refused(answers) | dict.fromkeys(_journeys(answers), Moved.WRONG_STATE)


async def _go(session: Session, route: Route, moving: Mapping[str, str]) -> dict[str, Moved]:
    """The copies are there: delete those at home, and let the copies live."""
    gone = await _depart(session, route, "gone", moving)
    late = {id: moving[id] for id, answer in gone.items() if answer != b"1"}
    await _arrive(session, route, "drop", _packed(late))  # somebody else took over, or was done long ago
    await _live(session, route, {id: trip for id, trip in moving.items() if id not in late})
    found = {id: Moved.NOT_FOUND if gone[id] == b"0" else Moved.WRONG_STATE for id in late}
    return dict.fromkeys(moving, Moved.DONE) | found


async def _live(session: Session, route: Route, trips: Mapping[str, str]) -> None:
    await _arrive(session, route, "live", _packed(trips))
    await _depart(session, route, "over", trips)


# --- what earlier journeys have left --------------------------------------------------------------


async def _copies(session: Session, route: Route, ids: Sequence[str]) -> dict[str, str]:
    """Those of which a copy is on its way there, and on which journey."""
    return _journeys(await _arrive(session, route, "find", dict.fromkeys(ids, b"")))


async def _settle(session: Session, route: Route, trips: Mapping[str, str]) -> list[str]:
    """Let copies live whose task went on that journey, and drop those whose task never will; which live now.

    Where the queue that they come from was removed nobody knows, so they live.
    """
    if not trips:
        return []
    known = await session.exists(route.home.name)
    went = await _depart(session, route, "was", trips) if known else dict.fromkeys(trips, b"1")
    lives = {id: trip for id, trip in trips.items() if went[id] == b"1"}
    await _arrive(session, route, "drop", _packed({id: trips[id] for id in trips if went[id] == b"0"}))
    await _live(session, route, lives)
    return list(lives)


async def resume(session: Session, queue: QueueKeys) -> None:
    """End the journeys that were begun a while ago, from or to this queue."""
    old = math.floor(session.clock.now() - ABANDONED)
    found = await session.redis.command(
        queue.moving, "ZRANGEBYSCORE", queue.moving, "-inf", old, "LIMIT", 0, 100
    )
    for id in map(damage.shown, found):
        note = await _note(session, queue, id)
        if note is None:
            await session.redis.command(queue.moving, "ZREM", queue.moving, id)
            continue
        way, other = note[0], damage.shown(note[1])
        home, there = (queue.name, other) if way == b"out" else (other, queue.name)
        left = await _note(session, queue_keys(home), id)
        if left is not None and left[0] == b"out" and damage.shown(left[1]) == there:
            await transfer(session, [TaskRef(home, id)], there)
        elif way == b"in":
            await _settle(session, Route(queue_keys(home), queue), {id: note[-1].decode()})


async def _note(session: Session, queue: QueueKeys, id: str) -> list[bytes] | None:
    note = await session.redis.command(queue.moving, "HGET", queue.task(id), "asynqio:moving")
    return None if note is None else unpack(note)


# --- calls ----------------------------------------------------------------------------------------


def _refused(answers: Mapping[str, bytes]) -> dict[str, Moved]:
    return {id: _REFUSED[answer] for id, answer in answers.items() if answer in _REFUSED}


def _journeys(answers: Mapping[str, bytes]) -> dict[str, str]:
    return {id: answer[1:].decode() for id, answer in answers.items() if answer.startswith(b"3")}


def _packed(trips: Mapping[str, str]) -> dict[str, bytes]:
    return {id: pack(trip) for id, trip in trips.items()}


async def _depart(session: Session, route: Route, step: str, trips: Mapping[str, str]) -> dict[str, Any]:
    if not trips:
        return {}
    home = route.home
    keys = [home.moving, home.left, *(home.task(id) for id in trips)]
    args: list[Word] = [step, home.prefix, repr(session.clock.now()), route.there.name]
    for pair in trips.items():
        args += pair
    return dict(zip(trips, await session.repeat(LUA.depart, keys, args), strict=True))


async def _arrive(session: Session, route: Route, step: str, said: Mapping[str, bytes]) -> dict[str, bytes]:
    if not said:
        return {}
    there = route.there
    keys = [there.moving, there.archived, there.groups, there.known_groups, *(there.task(id) for id in said)]
    args: list[Word] = [step, there.prefix, repr(session.clock.now()), session.nanoseconds(), route.home.name]
    args += (session.archive_limit, session.archive_cutoff())
    for pair in said.items():
        args += pair
    return dict(zip(said, await session.repeat(LUA.arrive, keys, args), strict=True))
