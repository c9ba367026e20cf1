"""Comparable snapshots of a Redis database."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.asyncio import Redis

from tests.interop.differential.protobuf import fields

#: Tolerance in seconds of expiry times: the two databases are not written at the same instant.
LATE = 2.0


class Value(NamedTuple):
    """One key: its type, its content, and its remaining lifetime in seconds (None: unlimited)."""

    type: str
    content: Any
    ttl: float | None


Snapshot = dict[str, Value]


async def snapshot(redis: Redis) -> Snapshot:
    """All keys of a database."""
    keys: list[bytes] = sorted(await redis.keys("*"))  # type: ignore[arg-type]
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
            pipe.pttl(key)
        facts = await pipe.execute() if keys else []
        types = [kind.decode() for kind in facts[::2]]
        for key, kind in zip(keys, types, strict=True):
            _ask(pipe, key, kind)
        contents = await pipe.execute() if keys else []
    found = {}
    for key, kind, ttl, content in zip(keys, types, facts[1::2], contents, strict=True):
        name = key.decode()
        found[name] = Value(kind, _read(name, kind, content), ttl / 1000 if ttl >= 0 else None)
    return found


def _ask(pipe: Any, key: bytes, kind: str) -> None:
    match kind:
        case "string":
            pipe.get(key)
        case "list":
            pipe.lrange(key, 0, -1)
        case "set":
            pipe.smembers(key)
        case "zset":
            pipe.zrange(key, 0, -1, withscores=True)
        case "hash":
            pipe.hgetall(key)


def _read(key: str, kind: str, content: Any) -> Any:
    match kind:
        case "string":
            return fields(content) if key.startswith("asynq:servers:") else content
        case "list":
            return list(content)
        case "set":
            return sorted(content)
        case "zset":
            return dict(content)
    if key.startswith("asynq:workers:"):
        return {name: fields(value) for name, value in content.items()}
    return {name.decode(): fields(value) if name == b"msg" else value for name, value in content.items()}


def differences(ours: Snapshot, theirs: Snapshot) -> list[str]:
    """One line for each key that differs."""
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if mine is None or other is None:
            found.append(f"{key}\n    ours {_show(mine)}\n    Go   {_show(other)}")
        elif mine[:2] != other[:2]:
            found.append(f"{key}: {mine.type}/{other.type}{_inside(mine.content, other.content)}")
        elif not _lasts_alike(mine.ttl, other.ttl):
            found.append(f"{key}: lives for\n    ours {mine.ttl}\n    Go   {other.ttl}")
    return found


def _inside(mine: Any, other: Any) -> str:
    if isinstance(mine, dict) and isinstance(other, dict):
        lines = [
            f"\n    {name!r}: ours {mine.get(name)!r}, Go {other.get(name)!r}"
            for name in sorted(mine.keys() | other.keys(), key=repr)
            if mine.get(name) != other.get(name)
        ]
        return "".join(lines)
    return f"\n    ours {mine!r}\n    Go   {other!r}"


def _lasts_alike(mine: float | None, other: float | None) -> bool:
    if mine is None or other is None:
        return mine is other
    return abs(mine - other) <= LATE


def _show(value: Value | None) -> str:
    return "nothing" if value is None else f"{value.type} {value.content!r} {value.ttl or ''}"


def without(snapshot: Snapshot, key: str, *names: str) -> None:
    """Remove fields of a hash, and the key if the hash is then empty."""
    value = snapshot[key]
    left = {name: field for name, field in value.content.items() if name not in names}
    if left:
        snapshot[key] = value._replace(content=left)
    else:
        del snapshot[key]
