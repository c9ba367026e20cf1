"""An inventory of the keys of each queue, from one SCAN of every server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from asynqio.brokers.redis.connection.errors import RedisError, is_missing_command
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.session import Session

#: Keys scanned per call.
SCAN_BATCH_SIZE = 1_000


class Keys(NamedTuple):
    """The task ids of one queue, the keys of its groups and batches, and the keys of its locks."""

    tasks: set[bytes]
    groups: list[bytes]
    locks: list[bytes]


async def scan_keys(
    session: Session, queues: Sequence[str], advance: Callable[[int], None]
) -> dict[str, Keys]:
    """The keys of these queues; `advance` is called with the number of keys scanned. Empty if SCAN is missing."""
    found = {name: Keys(set(), [], []) for name in queues}
    names = {name.encode(): name for name in queues}
    # One key per master: in a cluster one of each queue's master, otherwise one.
    for key in {
        session.redis.master_of(queue_keys(name).pending): queue_keys(name).pending for name in queues
    }.values():
        cursor = b"0"
        while True:
            try:
                cursor, keys = await session.redis.command(
                    key, "SCAN", cursor, "MATCH", "asynq:{*", "COUNT", SCAN_BATCH_SIZE
                )
            except RedisError as error:
                if is_missing_command(error):
                    return found  # the doctor reports the missing command
                raise
            for one in keys:
                name, rest = _parts(one, names)
                if name:
                    _sort(found[name], one, rest)
            advance(len(keys))
            if cursor == b"0":
                break
    return found


def _parts(key: bytes, names: dict[bytes, str]) -> tuple[str, bytes]:
    """The queue of a key, and the rest of the key. `asynq:{a}:b}:pending` belongs to `a}:b` if that queue exists,
    otherwise to `a`."""
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
