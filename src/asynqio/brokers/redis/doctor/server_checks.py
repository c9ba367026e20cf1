"""Checks of Redis servers: settings that would lose tasks, and imminent problems."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from asynqio.brokers.redis.admin.nodes import everywhere, parse_info
from asynqio.brokers.redis.connection.errors import RedisError, is_missing_command
from asynqio.brokers.redis.doctor.clock_checks import check_clocks
from asynqio.brokers.redis.layout.keys import QUEUES
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity

#: The fraction of maxmemory above which to warn.
MEMORY_WARNING = 0.9
#: Commands to try, which change nothing, and what asynqio does without them. Empty: it cannot work.
PROBES: dict[tuple[str, ...], str] = {
    ("EXISTS", QUEUES): "",
    ("SMEMBERS", QUEUES): "",
    ("SCRIPT", "EXISTS", "0" * 40): "scripts are sent with their first call",
    ("CLIENT", "ID"): "workers poll four times per second instead of being notified",
    (
        "SCAN",
        "0",
        "COUNT",
        "1",
    ): "the doctor and the removal of queues do not find keys that nothing refers to",
    ("TIME",): "leases follow the clocks of the workers' machines",
    ("INFO", "server"): "the doctor cannot check the memory, disk and replicas of the server",
}

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
    found += await check_clocks(session)
    if session.redis.clustered:
        found += [finding async for finding in _cluster(session)]
    return found


async def _permissions(session: Session) -> AsyncIterator[Finding]:
    for args, otherwise in PROBES.items():
        try:
            await session.redis.command(None if otherwise else args[1], *args)
        except RedisError as error:
            if not is_missing_command(error):
                continue
            denied = error.code == "NOPERM"
            advice = f"ACL SETUSER … +{args[0].lower()} (the guide to Redis has the whole line)"
            yield Finding(
                _W if otherwise else _E,
                "no-permission",
                f"the user of this URL may not use the command {args[0]}"
                if denied
                else f"this Redis has no command {args[0]}",
                (f"{otherwise}; to change that: {advice}" if otherwise else advice)
                if denied
                else otherwise or "use another server: asynqio requires this command",
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
