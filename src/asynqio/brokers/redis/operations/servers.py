"""Heartbeats of servers and schedulers: our complete records, and the messages that Go's inspectors read."""

from __future__ import annotations

import asyncio
import logging
import math

import msgspec

from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import (
    SCHEDULERS,
    SERVERS,
    WORKERS,
    decode_lossy,
    record_key,
    scheduler_key,
    server_key,
    workers_key,
)
from asynqio.brokers.redis.layout.schedule_messages import decode_scheduler, encode_schedule
from asynqio.brokers.redis.layout.server_messages import decode_server, encode_server, encode_worker, plain_id
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.small_write import small_write
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

_encode = msgspec.json.Encoder().encode
_decode_server = msgspec.json.Decoder(ServerInfo).decode
_decode_scheduler = msgspec.json.Decoder(SchedulerInfo).decode


async def beat(session: Session, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
    """See Broker.beat: the record is valid for `ttl` seconds."""
    skew = await session.server_clock.skew(SERVERS)
    until = math.ceil(session.clock.now() + skew + ttl)
    seconds = max(1, math.ceil(ttl))
    if isinstance(info, SchedulerInfo):
        key = scheduler_key(info.id)
        args: list[Arg] = [seconds, until, _encode(info), *map(encode_schedule, info.entries)]
        await _beat(session, LUA.beat_scheduler, [key, record_key(key)], args, [(SCHEDULERS, key)])
        return
    if skew:
        info = msgspec.structs.replace(info, clock_skew=round(skew, 3))
    server, workers = _server_keys(info)
    args = [seconds, until, encode_server(info), _encode(info)]
    for worker in info.workers:
        args += (worker.id, encode_worker(info, worker))
    keys = [server, workers, record_key(server)]
    await _beat(session, LUA.beat_server, keys, args, [(SERVERS, server), (WORKERS, workers)])


async def _beat(
    session: Session, script: Script, keys: list[str], args: list[Arg], listed: list[tuple[str, str]]
) -> None:
    """Write a record, and list it: in one command, except in a cluster, where the lists are in other slots."""
    if not session.redis.clustered:
        await session.run_idempotent(script, [*keys, *(listing for listing, _ in listed)], args)
        return
    await session.run_idempotent(script, keys, args)
    for listing, key in listed:
        await small_write(session.redis, "ZADD", listing, args[1], key)


async def leave(session: Session, info: ServerInfo | SchedulerInfo) -> None:
    """See Broker.leave: delete the record."""
    if isinstance(info, SchedulerInfo):
        key = scheduler_key(info.id)
        await session.redis.command(SCHEDULERS, "ZREM", SCHEDULERS, key)
        await session.redis.command(key, "DEL", key, record_key(key))
        return
    server, workers = _server_keys(info)
    await session.redis.command(SERVERS, "ZREM", SERVERS, server)
    await session.redis.command(WORKERS, "ZREM", WORKERS, workers)
    await session.redis.command(server, "DEL", server, workers, record_key(server))


def _server_keys(info: ServerInfo) -> tuple[str, str]:
    identity = (info.host, info.pid, plain_id(info))
    return server_key(*identity), workers_key(*identity)


async def servers(session: Session) -> list[ServerInfo]:
    """The valid records of servers, ours and Go's, read at once."""
    keys = await _valid(session, SERVERS, WORKERS)
    found = await asyncio.gather(*(_read_server(session, key) for key in keys))
    return [info for info in found if info is not None]


async def schedulers(session: Session) -> list[SchedulerInfo]:
    """The valid records of schedulers, ours and Go's, read at once."""
    keys = await _valid(session, SCHEDULERS)
    found = await asyncio.gather(*(_read_scheduler(session, key) for key in keys))
    return [info for info in found if info is not None]


async def _valid(session: Session, listing: str, *others: str) -> list[str]:
    """Remove expired members from the sorted sets, and return those of the first."""
    now = math.floor(session.clock.now() + await session.server_clock.skew(SERVERS))
    *_, found = await asyncio.gather(
        *(session.redis.command(key, "ZREMRANGEBYSCORE", key, "-inf", now) for key in (listing, *others)),
        session.redis.command(listing, "ZRANGE", listing, 0, -1),
    )
    return [decode_lossy(key) for key in found]


async def _read_server(session: Session, key: str) -> ServerInfo | None:
    own = record_key(key)
    record = await session.redis.command(own, "GET", own)
    try:
        if record is not None:
            return _decode_server(record)
        message = await session.redis.command(key, "GET", key)
        if message is None:
            return None
        workers = key.replace(SERVERS, WORKERS, 1)
        return decode_server(message, await session.redis.command(workers, "HVALS", workers))
    except (CorruptMessage, msgspec.MsgspecError) as error:
        _report(key, error)
        return None


async def _read_scheduler(session: Session, key: str) -> SchedulerInfo | None:
    own = record_key(key)
    try:
        if (record := await session.redis.command(own, "GET", own)) is not None:
            return _decode_scheduler(record)
        entries = await session.redis.command(key, "LRANGE", key, 0, -1)
        return decode_scheduler(key.removeprefix(f"{SCHEDULERS}:{{").removesuffix("}"), entries)
    except (CorruptMessage, msgspec.MsgspecError) as error:
        _report(key, error)
        return None


def _report(key: str, error: Exception) -> None:
    log.error(
        "the record %r cannot be read: %s",
        key,
        error,
        extra={"event": "server_record_unreadable", "key": key, "error": str(error)},
    )
