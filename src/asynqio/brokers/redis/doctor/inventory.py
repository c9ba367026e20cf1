"""What keys there are of which queue: one walk through all keys of every server, a thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.session import Session

#: Keys looked at per call.
SCANNED_TOGETHER = 1_000


class Keys(NamedTuple):
    """Of one queue: the ids of its tasks, and the whole keys of its groups and batches, and of its locks."""

    tasks: set[bytes]
    groups: list[bytes]
    locks: list[bytes]


async def take(session: Session, queues: Sequence[str], went: Callable[[int], None]) -> dict[str, Keys]:
    """The keys of these queues; `went` is told how many were looked at."""
    found = {name: Keys(set(), [], []) for name in queues}
    names = {name.encode(): name for name in queues}
    # One key stands for its server: in a cluster, that of each queue; else they are all the same.
    for key in {
        session.redis.master_of(queue_keys(name).pending): queue_keys(name).pending for name in queues
    }.values():
        cursor = b"0"
        while True:
            cursor, keys = await session.redis.command(
                key, "SCAN", cursor, "MATCH", "asynq:{*", "COUNT", SCANNED_TOGETHER
            )
            for one in keys:
                name, rest = _parts(one, names)
                if name:
                    _sort(found[name], one, rest)
            went(len(keys))
            if cursor == b"0":
                break
    return found


def _parts(key: bytes, names: dict[bytes, str]) -> tuple[str, bytes]:
    """The queue that a key belongs to, and what follows its prefix. `asynq:{a}:b}:pending` is one of `a}:b`, if there
    is such a queue, and else of `a`."""
    best: tuple[str, bytes] = ("", b"")
    start = len(b"asynq:{")
    at = key.find(b"}:", start)
    while at >= 0:
        if (name := names.get(key[start:at])) is not None:
            best = name, key[at + 2 :]
        at = key.find(b"}:", at + 1)
    return best


def _sort(keys: Keys, key: bytes, rest: bytes) -> None:
    kind, _, id = rest.partition(b":")
    if kind == b"t":
        keys.tasks.add(id)
    elif kind == b"g":
        keys.groups.append(key)
    elif kind == b"unique":
        keys.locks.append(key)
