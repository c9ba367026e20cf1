"""Schedules: which ticks were taken, and what came of them.

What is ours alone is one hash per queue, `asynq:{q}:asynqio:cron`, so that taking a tick and putting its task in are
one step. The history of a schedule is Go's (spec: redis wire format, sections 2.5 and 3.12), and expires.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Fired
from asynqio.brokers.redis.layout.keys import QueueKeys, history_key
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.layout.schedule_messages import decode_event, encode_event
from asynqio.brokers.redis.operations.enqueue import ANSWERS, opened, spec
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.batches import BATCH_SIZE, by_queue, chunks, together
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.errors import CorruptMessage

_FIRED = {
    **{char: Fired(answer) for char, answer in ANSWERS.items()},
    "-": Fired(None),
    "p": Fired(None, paused=True),
}
_FIRED_BYTES = {ord(char): fired for char, fired in _FIRED.items()}


async def register_schedules(session: Session, name: str, ids: Sequence[str]) -> list[ScheduleState]:
    queue = session.keys(name)
    await session.listed([name])
    answers: list[ScheduleState] = []
    for some in chunks(ids):
        reply = await session.repeat(LUA.register_schedules, [queue.cron], [repr(session.clock.now()), *some])
        answers += [_standing(*values) for values in reply]
    return answers


async def fire(session: Session, fires: Sequence[Fire]) -> list[Fired]:
    """One answer per tick, in their order: those of a queue one after the other, those of several together."""
    answers = [Fired(None)] * len(fires)
    places: dict[str, list[int]] = {}
    for at, one in enumerate(fires):
        places.setdefault(one.entry.message.queue, []).append(at)

    async def call(queue: QueueKeys, mine: list[int]) -> None:
        for some in chunks(mine, [len(fires[at].entry.message.payload or b"") for at in mine]):
            reply = await _send(session, queue, [fires[at] for at in some])
            found, changed = opened(reply)
            for at, char in zip(some, found, strict=True):
                answers[at] = _FIRED_BYTES.get(char) or Fired(next(changed))

    calls = [call(session.keys(name), mine) for name, mine in places.items()]
    if calls:
        await session.listed(places)
        await together(calls)
    return answers


async def _send(session: Session, queue: QueueKeys, fires: Sequence[Fire]) -> bytes | list[bytes]:
    now = session.clock.now()
    keys = [queue.pending, queue.cron]
    args: list[Word] = [queue.prefix, repr(now), session.nanoseconds()]
    for one in fires:
        message = one.entry.message
        keys.append(queue.task(message.id))
        args += (one.schedule_id, repr(one.tick), message.id, encode_task(message), spec(one.entry, now))
    reply: bytes | list[bytes] = await session.certain(LUA.fire, keys, args)
    return reply


async def record(session: Session, events: Sequence[FireEvent]) -> None:
    async def call(schedule: str, some: Sequence[int]) -> None:
        args: list[Word] = [FIRES_KEPT, math.ceil(FIRES_AGE)]
        for at in some:
            args += (math.floor(events[at].at), encode_event(events[at]))
        await session.repeat(LUA.record, [history_key(schedule)], args)

    await by_queue((event.schedule_id for event in events), call)


async def prune_schedules(session: Session, name: str, ids: Sequence[str], before: float) -> int:
    queue = session.keys(name)
    dropped = 0
    for some in chunks(ids):
        dropped += await session.repeat(LUA.prune_schedules, [queue.cron], [repr(before), *some])
    return dropped


# --- looking --------------------------------------------------------------------------------------


async def schedule_states(session: Session, name: str) -> dict[str, ScheduleState]:
    """Read in pieces: a queue may have thousands of schedules."""
    key = session.keys(name).cron
    found: dict[str, dict[bytes, bytes]] = {}
    cursor: Any = 0
    while True:
        cursor, pairs = await session.redis.command(key, "HSCAN", key, cursor, "COUNT", BATCH_SIZE)
        for field, value in zip(pairs[::2], pairs[1::2], strict=True):
            what, _, id = field.partition(b":")
            found.setdefault(shown(id), {})[what] = value
        if int(cursor) == 0:
            break
    return {
        id: _standing(*(facts.get(what) for what in (b"last", b"held", b"since", b"met")))
        for id, facts in sorted(found.items())
    }


def _standing(
    last: bytes | None, held: bytes | None, since: bytes | None, met_at: bytes | None
) -> ScheduleState:
    return ScheduleState(
        None if last is None else float(last.partition(b" ")[0]),
        held is not None,
        float(since or 0),
        float(met_at or 0),
    )


async def pause_schedule(session: Session, name: str, id: str, paused: bool) -> bool:
    queue = session.keys(name)
    if paused:
        await session.listed([name])
    return bool(
        await session.run(LUA.pause_schedule, [queue.cron], [id, int(paused), repr(session.clock.now())])
    )


async def fires(session: Session, schedule_id: str, page: Page) -> list[FireEvent]:
    key = history_key(schedule_id)
    newest = await session.redis.command(key, "ZREVRANGE", key, 0, 0, "WITHSCORES")
    if not newest or float(newest[1]) <= session.clock.now() - FIRES_AGE:
        return []
    last = page.offset + page.size - 1
    found = []
    for data in await session.redis.command(key, "ZREVRANGE", key, page.offset, last):
        try:
            found.append(decode_event(schedule_id, data))
        except CorruptMessage as problem:
            session.report(schedule_id, problem)
    return found
