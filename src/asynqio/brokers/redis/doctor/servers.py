"""How a Redis server is set up: what would lose tasks, and what is about to go wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asynqio.brokers.redis.connection.reconnecting import RedisError
from asynqio.brokers.redis.layout.keys import QUEUES
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity
from asynqio.core.info import StoreNode

#: Seconds by which the clocks of this machine and of Redis may differ: leases and due times are compared.
SKEW_WARNING, SKEW_ERROR = 2.0, 15.0
#: The share of maxmemory at which it is time to act.
MUCH_MEMORY = 0.9
#: What is tried to find out what a user may not do; none of it changes anything.
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


async def examine(session: Session) -> list[Finding]:
    """What the servers say of themselves; nothing about what this user may not ask."""
    found = [finding async for finding in _permissions(session)]
    for text in await _everywhere(session, "INFO"):
        found += judge(_parse(text), session.settings.kind)
    for pairs in await _everywhere(session, "CONFIG", "GET", "save"):
        saves = pairs.get(b"save") if isinstance(pairs, dict) else pairs[1]
        infos = await _everywhere(session, "INFO", "persistence")
        if saves == b"" and any(_parse(info).get("aof_enabled") == "0" for info in infos):
            found.append(
                Finding(
                    _W,
                    "no-persistence",
                    "Redis keeps nothing on disk (no save points, no append-only file)",
                    "appendonly yes, unless every task may be lost when Redis restarts",
                )
            )
            break
    found += await _clock(session)
    if session.redis.clustered:
        found += [finding async for finding in _cluster(session)]
    return found


async def nodes(session: Session) -> list[StoreNode]:
    """The masters, as far as they say what they are."""
    return [_node(_parse(text)) for text in await _everywhere(session, "INFO")]


def _node(info: Mapping[str, str]) -> StoreNode:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or ""
    return StoreNode(
        info.get("tcp_port", ""),
        f"{name} {version}".rstrip(),
        float(info.get("uptime_in_seconds") or 0),
        int(info.get("connected_clients") or 0),
        int(info.get("used_memory") or 0),
        int(info.get("used_memory_peak") or 0),
    )


async def _everywhere(session: Session, *words: str) -> list[Any]:
    try:
        return await session.redis.everywhere(*words)
    except RedisError:
        return []  # a user who may not ask: `_permissions` says what matters


async def _permissions(session: Session) -> Any:
    for words in PROBES:
        try:
            await session.redis.command(words[1] if len(words) > 1 and words[0] != "SCAN" else None, *words)
        except RedisError as error:
            if error.code == "NOPERM":
                yield Finding(
                    _E if words[0] in ("EXISTS", "SMEMBERS", "SCRIPT") else _W,
                    "no-permission",
                    f"the user of this URL may not use the command {words[0]}",
                    f"ACL SETUSER … +{words[0].lower()} (the guide to Redis has the whole line)",
                )


def _parse(text: bytes | str) -> dict[str, str]:
    lines = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def judge(info: Mapping[str, str], kind: str = "single") -> Iterator[Finding]:
    """What one server's INFO says to who knows what matters to a queue."""
    yield from _memory(info)
    yield from _disk(info)
    version = info.get("redis_version", "")
    if version and version.split(".")[0].isdigit() and int(version.split(".")[0]) < 7:
        yield Finding(
            _I,
            "old-version",
            f"Redis {version} gets no fixes any more",
            "upgrade to 7.2 or later, or to Valkey",
        )
    if info.get("role") == "slave":
        yield Finding(
            _E,
            "replica",
            "this server is a replica: it takes no writes",
            "connect to the master, or use +sentinel",
        )
    elif kind in ("sentinel", "cluster") and info.get("connected_slaves") == "0":
        yield Finding(
            _W,
            "no-replica",
            "a master has no replica: if it fails nobody takes over",
            "add a replica, or find out where it went",
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
    if limit and used > MUCH_MEMORY * limit:
        yield Finding(
            _W,
            "memory-full",
            f"Redis uses {used:,} of {limit:,} bytes",
            "raise maxmemory, or delete tasks that are kept (archived, completed): a full one takes no tasks",
        )


def _disk(info: Mapping[str, str]) -> Iterator[Finding]:
    for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(name, "ok") != "ok":
            yield Finding(
                _E,
                "cannot-save",
                f"Redis could not save its data ({name} is {info[name]})",
                "look into its log, and whether its disk is full",
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
            "synchronize both (NTP): tasks start too early or late, and leases of the living lapse",
        )
    ]


async def _cluster(session: Session) -> Any:
    for text in await _everywhere(session, "CLUSTER", "INFO"):
        info = _parse(text)
        if info.get("cluster_state") != "ok" or info.get("cluster_slots_assigned") != "16384":
            yield Finding(
                _E,
                "cluster-down",
                f"the cluster says its state is {info.get('cluster_state')}, with "
                f"{info.get('cluster_slots_assigned')} of 16384 slots",
                "redis-cli --cluster check, and fix",
            )
            return
