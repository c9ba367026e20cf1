"""Checks of Redis servers: settings that would lose tasks, and imminent problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asynqio.brokers.redis.admin.nodes import everywhere, parse_info
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.layout.keys import QUEUES
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity

#: Seconds by which the clocks of this machine and of Redis may differ: leases and due times depend on both.
SKEW_WARNING, SKEW_ERROR = 2.0, 15.0
#: The fraction of maxmemory above which to warn.
MEMORY_WARNING = 0.9
#: Commands that detect missing permissions; none of them changes anything.
PROBES: tuple[tuple[str, ...], ...] = (
    ("EXISTS", QUEUES),
    ("SMEMBERS", QUEUES),
    ("SCAN", "0", "COUNT", "1"),
    ("UNLINK", "asynqio:probe"),
    ("TIME",),
    ("INFO", "server"),
    ("SCRIPT", "EXISTS", "0" * 40),
    ("CLIENT", "ID"),
)

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO


async def check_servers(session: Session) -> list[Finding]:
    """Findings about the servers; an ACL that forbids a command hides its findings."""
    found = [finding async for finding in _permissions(session)]
    for text in await everywhere(session, "INFO"):
        found += judge_info(parse_info(text), session.settings.kind)
    for pairs in await everywhere(session, "CONFIG", "GET", "save"):
        saves = pairs.get(b"save") if isinstance(pairs, dict) else pairs[1]
        infos = await everywhere(session, "INFO", "persistence")
        if saves == b"" and any(parse_info(info).get("aof_enabled") == "0" for info in infos):
            found.append(
                Finding(
                    _W,
                    "no-persistence",
                    "Redis does not persist its data (no save points, no append-only file)",
                    "set appendonly yes, unless all tasks may be lost when Redis restarts",
                )
            )
            break
    found += await _clock(session)
    if session.redis.clustered:
        found += [finding async for finding in _cluster(session)]
    return found


async def _permissions(session: Session) -> Any:
    for args in PROBES:
        try:
            await session.redis.command(args[1] if len(args) > 1 and args[0] != "SCAN" else None, *args)
        except RedisError as error:
            if error.code == "NOPERM":
                yield Finding(
                    _E if args[0] in ("EXISTS", "SMEMBERS", "SCRIPT") else _W,
                    "no-permission",
                    f"the user of this URL may not use the command {args[0]}",
                    f"ACL SETUSER … +{args[0].lower()} (the guide to Redis has the whole line)",
                )


def judge_info(info: Mapping[str, str], kind: str = "single") -> Iterator[Finding]:
    """Findings from the INFO of one server."""
    yield from _memory(info)
    yield from _disk(info)
    version = info.get("redis_version", "")
    if version and version.split(".")[0].isdigit() and int(version.split(".")[0]) < 7:
        yield Finding(
            _I,
            "old-version",
            f"Redis {version} is no longer maintained",
            "upgrade to 7.2 or later, or to Valkey",
        )
    if info.get("role") == "slave":
        yield Finding(
            _E,
            "replica",
            "this server is a replica: it rejects writes",
            "connect to the master, or use +sentinel",
        )
    elif kind in ("sentinel", "cluster") and info.get("connected_slaves") == "0":
        yield Finding(
            _W,
            "no-replica",
            "a master has no replica: if it fails, no server takes over",
            "add a replica, or restart the missing one",
        )


def _memory(info: Mapping[str, str]) -> Iterator[Finding]:
    limit, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            _E if limit else _W,
            "eviction",
            f"maxmemory-policy is {policy}: Redis deletes tasks when its memory is full"
            + ("" if limit else " (it has no limit now)"),
            "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
        )
    if limit and used > MEMORY_WARNING * limit:
        yield Finding(
            _W,
            "memory-full",
            f"Redis uses {used:,} of {limit:,} bytes",
            "raise maxmemory, or delete archived and completed tasks: a full server rejects new tasks",
        )


def _disk(info: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(name, "ok") != "ok":
            yield Finding(
                _E,
                "cannot-save",
                f"Redis could not save its data ({name} is {info[name]})",
                "check its log and its disk space",
            )


async def _clock(session: Session) -> list[Finding]:
    before = session.clock.now()
    try:
        seconds, micros = await session.redis.command(None, "TIME")
    except RedisError:
        return []
    after = session.clock.now()
    skew = abs(int(seconds) + int(micros) / 1e6 - (before + after) / 2) - (after - before) / 2
    if skew < SKEW_WARNING:
        return []
    return [
        Finding(
            _E if skew >= SKEW_ERROR else _W,
            "clock-skew",
            f"the clocks of this machine and of Redis differ by {skew:.1f} s",
            "synchronize both (NTP): tasks start too early or late, and leases of running servers lapse",
        )
    ]


async def _cluster(session: Session) -> Any:
    for text in await everywhere(session, "CLUSTER", "INFO"):
        info = parse_info(text)
        if info.get("cluster_state") != "ok" or info.get("cluster_slots_assigned") != "16384":
            yield Finding(
                _E,
                "cluster-down",
                f"the cluster reports state {info.get('cluster_state')}, with "
                f"{info.get('cluster_slots_assigned')} of 16384 slots",
                "run redis-cli --cluster check, then --cluster fix",
            )
            return
