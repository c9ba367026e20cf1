"""Schedules: claim ticks, record enqueue events, pause.

The state of schedules is one hash per queue, `asynq:{q}:asynqio:cron`, so that claiming a tick and enqueueing its
task are atomic. The history of enqueue events has Go's format, and expires.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Fired
from asynqio.brokers.redis.chunking import BATCH_SIZE, by_queue, chunks, gather
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, history_key
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.layout.schedule_messages import decode_event, encode_event
from asynqio.brokers.redis.operations.enqueue import ANSWERS, entry_options, split_reply
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

_FIRED = {
    **{char: Fired(answer) for char, answer in ANSWERS.items()},
    "-": Fired(None),
    "p": Fired(None, paused=True),
}
_FIRED_BYTES = {ord(char): fired for char, fired in _FIRED.items()}


async def register_schedules(session: Session, name: str, ids: Sequence[str]) -> list[ScheduleState]:
    """See Broker.register_schedules."""
    queue = session.keys(name)
    await session.registry.register([name])
    answers: list[ScheduleState] = []
    for some in chunks(ids):
        reply = await session.run_idempotent(
            LUA.register_schedules, [queue.cron], [repr(session.clock.now()), *some]
        )
        answers += [_state(*values) for values in reply]
    return answers


async def fire(session: Session, fires: Sequence[Fire]) -> list[Fired]:
    """See Broker.fire. Ticks of one queue are claimed in order, queues concurrently."""
    answers = [Fired(None)] * len(fires)
    indexes: dict[str, list[int]] = {}
    for at, fire in enumerate(fires):
        indexes.setdefault(fire.entry.message.queue, []).append(at)

    async def call(queue: QueueKeys, mine: list[int]) -> None:
        for some in chunks(mine, [len(fires[at].entry.message.payload or b"") for at in mine]):
            reply = await _send(session, queue, [fires[at] for at in some])
            found, updated = split_reply(reply)
            for at, char in zip(some, found, strict=True):
                answers[at] = _FIRED_BYTES.get(char) or Fired(next(updated))

    calls = [call(session.keys(name), mine) for name, mine in indexes.items()]
    if calls:
        await session.registry.register(indexes)
        await gather(calls)
    return answers


async def _send(session: Session, queue: QueueKeys, fires: Sequence[Fire]) -> bytes | list[bytes]:
    now = session.clock.now()
    keys = [queue.pending, queue.cron]
    args: list[Arg] = [queue.prefix, repr(now), session.now_ns(), session.archive_cutoff()]
    for fire in fires:
        message = fire.entry.message
        keys.append(queue.task(message.id))
        args += (fire.schedule_id, repr(fire.tick))
        args += (message.id, encode_task(message), entry_options(fire.entry, now))
    reply: bytes | list[bytes] = await session.run_once(LUA.fire_schedules, keys, args)
    return reply


async def record(session: Session, events: Sequence[FireEvent]) -> None:
    """See Broker.record."""

    async def call(schedule: str, some: Sequence[int]) -> None:
        args: list[Arg] = [FIRES_KEPT, math.ceil(FIRES_AGE)]
        for at in some:
            args += (math.floor(events[at].at), encode_event(events[at]))
        await session.run_idempotent(LUA.record_events, [history_key(schedule)], args)

    await by_queue((event.schedule_id for event in events), call)


async def prune_schedules(session: Session, name: str, ids: Sequence[str], before: float) -> int:
    """See Broker.prune_schedules."""
    queue = session.keys(name)
    pruned = 0
    for some in chunks(ids):
        pruned += await session.run_idempotent(LUA.prune_schedules, [queue.cron], [repr(before), *some])
    return pruned


# --- inspection -----------------------------------------------------------------------------------


async def schedule_states(session: Session, name: str) -> dict[str, ScheduleState]:
    """See Inspection.schedule_states. Read in chunks: a queue may have thousands of schedules."""
    key = session.keys(name).cron
    found: dict[str, dict[bytes, bytes]] = {}
    cursor: Any = 0
    while True:
        cursor, pairs = await session.redis.command(key, "HSCAN", key, cursor, "COUNT", BATCH_SIZE)
        for field, value in zip(pairs[::2], pairs[1::2], strict=True):
            kind, _, id = field.partition(b":")
            found.setdefault(decode_lossy(id), {})[kind] = value
        if int(cursor) == 0:
            break
    # `held` and `met` are the stored names of "paused since" and "last registered".
    return {
        id: _state(*(facts.get(kind) for kind in (b"last", b"held", b"since", b"met")))
        for id, facts in sorted(found.items())
    }


def _state(
    last: bytes | None, paused: bytes | None, since: bytes | None, registered: bytes | None
) -> ScheduleState:
    return ScheduleState(
        None if last is None else float(last.partition(b" ")[0]),
        paused is not None,
        float(since or 0),
        float(registered or 0),
    )


async def pause_schedule(session: Session, name: str, id: str, paused: bool) -> bool:
    """See Inspection.pause_schedule."""
    queue = session.keys(name)
    if paused:
        await session.registry.register([name])
    return bool(
        await session.run(LUA.pause_schedule, [queue.cron], [id, int(paused), repr(session.clock.now())])
    )


async def fires(session: Session, schedule_id: str, page: Page) -> list[FireEvent]:
    """See Inspection.fires."""
    key = history_key(schedule_id)
    newest = await session.redis.command(key, "ZREVRANGE", key, 0, 0, "WITHSCORES")
    if not newest or float(newest[1]) <= session.clock.now() - FIRES_AGE:
        return []
    last = page.offset + page.size - 1
    found, unreadable = [], 0
    for data in await session.redis.command(key, "ZREVRANGE", key, page.offset, last):
        try:
            found.append(decode_event(schedule_id, data))
        except CorruptMessage:
            unreadable += 1
    if unreadable:
        log.error(
            "%d enqueue events of schedule %r are unreadable and skipped",
            unreadable,
            schedule_id,
            extra={"event": "schedule_events_unreadable", "schedule_id": schedule_id, "count": unreadable},
        )
    return found
