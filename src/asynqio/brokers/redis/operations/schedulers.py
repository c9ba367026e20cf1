"""Which schedulers are there: cards for ours and for Go's inspectors (spec: redis wire format, section 3.12)."""

from __future__ import annotations

import logging
import math

import msgspec

from asynqio.brokers.redis.layout.keys import SCHEDULERS, card_key, scheduler_key
from asynqio.brokers.redis.layout.schedule_messages import decode_scheduler, encode_schedule
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.info import SchedulerInfo
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SchedulerInfo).decode


async def beat(session: Session, card: SchedulerInfo, ttl: float) -> None:
    """Show a card for `ttl` seconds."""
    key = scheduler_key(card.id)
    until = math.ceil(session.clock.now() + ttl)
    args: list[Word] = [max(1, math.ceil(ttl)), _encode(card), *map(encode_schedule, card.entries)]
    await session.repeat(LUA.beat_scheduler, [key, card_key(key)], args)
    await session.redis.command(SCHEDULERS, "ZADD", SCHEDULERS, until, key)


async def leave(session: Session, card: SchedulerInfo) -> None:
    """Take a card back."""
    key = scheduler_key(card.id)
    await session.redis.command(SCHEDULERS, "ZREM", SCHEDULERS, key)
    await session.redis.command(key, "DEL", key, card_key(key))


async def schedulers(session: Session) -> list[SchedulerInfo]:
    """The cards that are still valid, of our schedulers and of Go's."""
    now = math.floor(session.clock.now())
    await session.redis.command(SCHEDULERS, "ZREMRANGEBYSCORE", SCHEDULERS, "-inf", now)
    cards = []
    for member in await session.redis.command(SCHEDULERS, "ZRANGE", SCHEDULERS, 0, -1):
        if (card := await _read(session, shown(member))) is not None:
            cards.append(card)
    return cards


async def _read(session: Session, key: str) -> SchedulerInfo | None:
    own = card_key(key)
    try:
        if (whole := await session.redis.command(own, "GET", own)) is not None:
            return _decode(whole)
        entries = await session.redis.command(key, "LRANGE", key, 0, -1)
        return decode_scheduler(key.removeprefix(f"{SCHEDULERS}:{{").removesuffix("}"), entries)
    except (CorruptMessage, msgspec.MsgspecError) as problem:
        log.error("the card %r cannot be read: %s", key, problem)
        return None
