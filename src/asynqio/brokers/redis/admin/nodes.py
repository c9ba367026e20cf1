"""The Redis servers behind a broker, and their INFO; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.session import Session
from asynqio.core.info import StoreNode


async def nodes(session: Session) -> list[StoreNode]:
    """See Inspection.nodes: the masters that answer INFO."""
    return [_node(parse_info(text)) for text in await everywhere(session, "INFO")]


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


async def everywhere(session: Session, *args: str) -> list[Any]:
    """Send a command to each master; an empty list if an ACL forbids it."""
    try:
        return await session.redis.everywhere(*args)
    except RedisError:
        return []


def parse_info(text: bytes | str) -> dict[str, str]:
    """Parse the reply to INFO or CLUSTER INFO."""
    lines = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
