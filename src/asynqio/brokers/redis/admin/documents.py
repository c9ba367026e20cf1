"""Documents and logs."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.documents import LOG_TRIM_SIZE, Collection, LogEntry
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import CollectionKeys, log_key
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session

#: What the names of the fields of documents begin with.
FIELD = b"d:"


async def collection(session: Session, name: str, known: int) -> Collection | None:
    """See Inspection.collection."""
    key = CollectionKeys(name).documents
    if known and int(await session.redis.command(key, "HGET", key, "revision") or 0) == known:
        return None
    fields = await session.redis.command(key, "HGETALL", key)
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    documents = {
        field[len(FIELD) :].decode(): data for field, data in found.items() if field.startswith(FIELD)
    }
    return Collection(int(found.get(b"revision", 0)), documents)


async def put_document(
    session: Session, collection: str, name: str, data: bytes | None, known: int | None
) -> int | None:
    """See Inspection.put_document."""
    to = CollectionKeys(collection)
    slot = session.call_slots.take(to, session.clock.now())
    args: list[Arg] = [
        slot.number,
        FIELD + name.encode(),
        int(data is not None),
        data or b"",
        "" if known is None else known,
    ]
    keys = [slot.key, to.documents]
    revision = int(await session.run_remembered(LUA.put_document, keys, args, slot))
    return None if revision < 0 else revision


async def append_log(session: Session, log: str, entries: Sequence[bytes], keep: int, age: float) -> None:
    """See Inspection.append_log."""
    now = session.clock.now()
    await session.run(
        LUA.append_log, [log_key(log)], [keep, repr(now - age), LOG_TRIM_SIZE, repr(now), *entries]
    )


async def read_log(session: Session, log: str, before: int | None, limit: int) -> list[LogEntry]:
    """See Inspection.read_log."""
    key = log_key(log)
    highest = "+inf" if before is None else f"({before}"
    found = await session.redis.command(key, "ZREVRANGEBYSCORE", key, highest, "-inf", "LIMIT", 0, limit)
    return [_entry(packed) for packed in found]


def _entry(packed: bytes) -> LogEntry:
    number, at, data = packed.split(b":", 2)
    return LogEntry(int(number), float(at), data)
