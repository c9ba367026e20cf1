"""Putting tasks into another queue, whose keys may live on another server: so in steps, each whole by itself.

park    at home: out of its place, so that nobody takes it any more
park    there: a copy, out of reach as well
gone    at home: the one at home is deleted
live    there: the copy takes its place

So there is at every moment one at least, and never one that can be taken in each queue. Every step may be done again;
who calls again begins at the first and so ends what was begun. `Repair` does that for those whose caller is gone.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asynqio.brokers.base import Moved
from asynqio.brokers.redis import damage
from asynqio.brokers.redis.codec import decode_task, encode_task
from asynqio.brokers.redis.engine import Engine, Word
from asynqio.brokers.redis.keys import QueueKeys, queue_keys
from asynqio.brokers.redis.pack import pack, unpack
from asynqio.brokers.redis.scripts import LUA
from asynqio.core.locks import in_queue
from asynqio.core.message import TaskRef
from asynqio.errors import CorruptMessage

_REFUSED = {ord("0"): Moved.ID_CONFLICT, ord("2"): Moved.DUPLICATE}
#: Tasks moved per call: each is copied whole.
TOGETHER = 50
#: Tasks whose journey began so many seconds ago have nobody who sees to them.
ABANDONED = 60.0


class Route(NamedTuple):
    """From where to where."""

    home: QueueKeys
    there: QueueKeys


async def transfer(engine: Engine, refs: Sequence[TaskRef], target: str) -> list[Moved]:
    """See Inspection.transfer."""
    found: dict[TaskRef, Moved] = {}
    for name in dict.fromkeys(ref.queue for ref in refs):
        ids = list(dict.fromkeys(ref.id for ref in refs if ref.queue == name))
        route = Route(queue_keys(name), engine.keys(target))
        for start in range(0, len(ids), TOGETHER):
            answers = await _transfer(engine, route, ids[start : start + TOGETHER])
            found |= {TaskRef(name, id): answer for id, answer in answers.items()}
    return [found[ref] for ref in refs]


async def _transfer(engine: Engine, route: Route, ids: Sequence[str]) -> dict[str, Moved]:
    answers, looked = await _look(engine, route, ids)
    gone = [id for id, answer in answers.items() if answer is Moved.NOT_FOUND]
    for id, done in (await _live(engine, route, gone)).items():
        if done:  # an earlier call came as far as that
            answers[id] = Moved.DONE
    if route.home.name == route.there.name:
        return answers | dict.fromkeys(looked, Moved.WRONG_STATE)
    if not looked:
        return answers
    refused = await _arrive(engine, route, "look", looked)
    answers |= refused
    wanted = [id for id in looked if id not in refused]
    parked: dict[str, bytes] = {}
    for id, row in (await _depart(engine, route, "park", wanted, secrets.token_hex(8))).items():
        if row in (b"0", b"2"):  # somebody was quicker
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
        else:
            parked[id] = _copy(route, row)
    if not parked:
        return answers
    await engine.listed([route.there.name])
    refused = await _arrive(engine, route, "park", parked)
    answers |= refused
    await _depart(engine, route, "back", list(refused))
    moved = [id for id in parked if id not in refused]
    await _depart(engine, route, "gone", moved)
    await _live(engine, route, moved)
    return answers | dict.fromkeys(moved, Moved.DONE)


async def _look(
    engine: Engine, route: Route, ids: Sequence[str]
) -> tuple[dict[str, Moved], dict[str, bytes]]:
    """What can be said at once, and what the other queue is to be asked about the rest."""
    answers: dict[str, Moved] = {}
    asked: dict[str, bytes] = {}
    for id, row in (await _depart(engine, route, "look", ids)).items():
        if row in (b"0", b"2"):
            answers[id] = Moved.NOT_FOUND if row == b"0" else Moved.WRONG_STATE
            continue
        _, msg, lock, trip = row
        try:
            message = damage.read(route.home, id.encode(), msg)
        except CorruptMessage:
            answers[id] = Moved.WRONG_STATE
            continue
        asked[id] = pack(trip, in_queue(message, route.there.name).unique_key if lock else "")
    return answers, asked


def _copy(route: Route, row: Sequence[bytes]) -> bytes:
    """What the other queue is told to keep of a task that was parked."""
    _, state, score, trip, ttl, *flat = row
    hash = dict(zip(flat[::2], flat[1::2], strict=True))
    after = in_queue(decode_task(hash[b"msg"]), route.there.name)
    hash[b"msg"] = encode_task(after)
    if b"unique_key" in hash:
        hash[b"unique_key"] = after.unique_key.encode()
    lock = after.unique_key if ttl else ""
    return pack(trip, lock, ttl, state, score, *(word for pair in hash.items() for word in pair))


async def _depart(
    engine: Engine, route: Route, step: str, ids: Sequence[str], trip: str = ""
) -> dict[str, Any]:
    if not ids:
        return {}
    home = route.home
    keys = [home.moving, *(home.task(id) for id in ids)]
    args: list[Word] = [step, home.prefix, repr(engine.clock.now()), route.there.name, trip, *ids]
    return dict(zip(ids, await engine.repeat(LUA.depart, keys, args), strict=True))


async def _arrive(engine: Engine, route: Route, step: str, said: Mapping[str, bytes]) -> dict[str, Moved]:
    """Those that the other queue refuses, and why."""
    reply = await _there(engine, route, step, said)
    return {id: _REFUSED[char] for id, char in zip(said, reply, strict=True) if char in _REFUSED}


async def _live(engine: Engine, route: Route, ids: Sequence[str]) -> dict[str, bool]:
    """Which of them were on their way and are there now."""
    reply = await _there(engine, route, "live", dict.fromkeys(ids, b""))
    return {id: char == ord("1") for id, char in zip(ids, reply, strict=True)}


async def _there(engine: Engine, route: Route, step: str, said: Mapping[str, bytes]) -> bytes:
    if not said:
        return b""
    there, now = route.there, engine.clock.now()
    keys = [there.moving, there.archived, there.groups, there.known_groups, *(there.task(id) for id in said)]
    args: list[Word] = [step, there.prefix, repr(now), engine.nanoseconds(), route.home.name]
    args += (engine.archive_limit, engine.archive_cutoff())
    for id, what in said.items():
        args += (id, what)
    reply = await engine.repeat(LUA.arrive, keys, args)
    assert isinstance(reply, bytes)
    return reply


async def resume(engine: Engine, queue: QueueKeys) -> None:
    """End the journeys that were begun a while ago, from or to this queue."""
    old = math.floor(engine.clock.now() - ABANDONED)
    found = await engine.redis.command(
        queue.moving, "ZRANGEBYSCORE", queue.moving, "-inf", old, "LIMIT", 0, 100
    )
    for id in map(damage.shown, found):
        note = await engine.redis.command(queue.moving, "HGET", queue.task(id), "asynqio:moving")
        if note is None:
            await engine.redis.command(queue.moving, "ZREM", queue.moving, id)
            continue
        way, other, *_, trip = unpack(note)
        home, there = (
            (queue.name, damage.shown(other)) if way == b"out" else (damage.shown(other), queue.name)
        )
        left = await engine.redis.command(
            queue_keys(home).moving, "HGET", queue_keys(home).task(id), "asynqio:moving"
        )
        if left is not None and unpack(left)[-1] == trip:
            await transfer(engine, [TaskRef(home, id)], there)
        else:
            await _live(engine, Route(queue_keys(home), queue_keys(there)), [id])
