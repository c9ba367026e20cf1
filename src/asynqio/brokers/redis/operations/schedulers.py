"""Which schedulers are there: cards for ours and for Go's inspectors (spec: redis wire format, section 3.12)."""

from __future__ import annotations

import logging
import math

import msgspec

from asynqio.brokers.redis.layout.keys import SCHEDULERS, card_key, scheduler_key
from asynqio.brokers.redis.layout.schedule_messages import decode_scheduler, encode_schedule
from asynqio.brokers.redis.operations.quarantine import shown
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Engine, Word
from asynqio.core.info import SchedulerCard
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SchedulerCard).decode


async def beat(engine: Engine, card: SchedulerCard, ttl: float) -> None:
    """Show a card for `ttl` seconds."""
    key = scheduler_key(card.id)
    until = math.ceil(engine.clock.now() + ttl)
    args: list[Word] = [max(1, math.ceil(ttl)), _encode(card), *map(encode_schedule, card.entries)]
    await engine.repeat(LUA.beat_scheduler, [key, card_key(key)], args)
    await engine.redis.command(SCHEDULERS, "ZADD", SCHEDULERS, until, key)


async def leave(engine: Engine, card: SchedulerCard) -> None:
    """Take a card back."""
    key = scheduler_key(card.id)
    await engine.redis.command(SCHEDULERS, "ZREM", SCHEDULERS, key)
    await engine.redis.command(key, "DEL", key, card_key(key))


async def schedulers(engine: Engine) -> list[SchedulerCard]:
    """The cards that are still valid, of our schedulers and of Go's."""
    now = math.floor(engine.clock.now())
    await engine.redis.command(SCHEDULERS, "ZREMRANGEBYSCORE", SCHEDULERS, "-inf", now)
    cards = []
    for member in await engine.redis.command(SCHEDULERS, "ZRANGE", SCHEDULERS, 0, -1):
        if (card := await _read(engine, shown(member))) is not None:
            cards.append(card)
    return cards


async def _read(engine: Engine, key: str) -> SchedulerCard | None:
    own = card_key(key)
    try:
        if (whole := await engine.redis.command(own, "GET", own)) is not None:
            return _decode(whole)
        entries = await engine.redis.command(key, "LRANGE", key, 0, -1)
        return decode_scheduler(key.removeprefix(f"{SCHEDULERS}:{{").removesuffix("}"), entries)
    except (CorruptMessage, msgspec.MsgspecError) as problem:
        log.error("the card %r cannot be read: %s", key, problem)
        return None
