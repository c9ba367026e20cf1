"""Who is there: cards of servers, for ours and for Go's inspectors (spec: redis wire format, section 3.12)."""

from __future__ import annotations

import logging
import math

import msgspec

from asynqio.brokers.redis.layout.keys import SERVERS, WORKERS, card_key, server_key, workers_key
from asynqio.brokers.redis.layout.messages import decode_server, encode_server, encode_worker, plain_id
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.info import ServerInfo
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ServerInfo).decode


async def beat(session: Session, card: ServerInfo, ttl: float) -> None:
    """Show a card for `ttl` seconds."""
    server = server_key(card.host, card.pid, plain_id(card))
    workers = workers_key(card.host, card.pid, plain_id(card))
    until = math.ceil(session.clock.now() + ttl)
    args: list[Word] = [max(1, math.ceil(ttl)), encode_server(card), _encode(card)]
    for worker in card.workers:
        args += (worker.id, encode_worker(card, worker))
    await session.repeat(LUA.beat, [server, workers, card_key(server)], args)
    await session.redis.command(SERVERS, "ZADD", SERVERS, until, server)
    await session.redis.command(WORKERS, "ZADD", WORKERS, until, workers)


async def leave(session: Session, card: ServerInfo) -> None:
    """Take a card back."""
    server = server_key(card.host, card.pid, plain_id(card))
    workers = workers_key(card.host, card.pid, plain_id(card))
    await session.redis.command(SERVERS, "ZREM", SERVERS, server)
    await session.redis.command(WORKERS, "ZREM", WORKERS, workers)
    await session.redis.command(server, "DEL", server, workers, card_key(server))


async def servers(session: Session) -> list[ServerInfo]:
    """The cards that are still valid, of our servers and of Go's."""
    now = math.floor(session.clock.now())
    for listing in (SERVERS, WORKERS):
        await session.redis.command(listing, "ZREMRANGEBYSCORE", listing, "-inf", now)
    cards = []
    for member in await session.redis.command(SERVERS, "ZRANGE", SERVERS, 0, -1):
        if (card := await _read(session, member.decode("utf-8", "replace"))) is not None:
            cards.append(card)
    return cards


async def _read(session: Session, server: str) -> ServerInfo | None:
    own = card_key(server)
    whole = await session.redis.command(own, "GET", own)
    try:
        if whole is not None:
            return _decode(whole)
        info = await session.redis.command(server, "GET", server)
        if info is None:
            return None
        workers = server.replace(SERVERS, WORKERS, 1)
        return decode_server(info, await session.redis.command(workers, "HVALS", workers))
    except (CorruptMessage, msgspec.MsgspecError) as problem:
        log.error("the card %r cannot be read: %s", server, problem)
        return None
