"""Documents and logs."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.documents import LOG_TRIM_SIZE, Collection, LogEntry
from asynqio.brokers.memory.storage.store import MemoryStore

EMPTY = Collection(0, {})


def collection(store: MemoryStore, name: str, known: int) -> Collection | None:
    """See Inspection.collection."""
    with store.lock:
        found = store.collections.get(name, EMPTY)
        if found.revision and found.revision == known:
            return None
        return Collection(found.revision, dict(found.documents))


def put_document(
    store: MemoryStore, collection: str, name: str, data: bytes | None, known: int | None
) -> int | None:
    """See Inspection.put_document."""
    with store.lock:
        revision, documents = store.collections.get(collection, EMPTY)
        if known is not None and known != revision:
            return None
        if data is None and name not in documents:
            return revision
        rest = {other: text for other, text in documents.items() if other != name}
        changed = rest if data is None else {**rest, name: data}
        store.collections[collection] = Collection(revision + 1, changed)
        return revision + 1


def append_log(
    store: MemoryStore, now: float, log: str, entries: Sequence[bytes], keep: int, age: float
) -> None:
    """See Inspection.append_log."""
    with store.lock:
        kept = store.logs.setdefault(log, [])
        number = kept[-1].number if kept else 0
        kept += [LogEntry(number + place, now, data) for place, data in enumerate(entries, 1)]
        del kept[: -max(keep, 1)]
        old = 0
        while old < min(len(kept) - 1, LOG_TRIM_SIZE) and kept[old].at < now - age:
            old += 1
        del kept[:old]


def read_log(store: MemoryStore, log: str, before: int | None, limit: int) -> list[LogEntry]:
    """See Inspection.read_log."""
    with store.lock:
        found = [entry for entry in store.logs.get(log, []) if before is None or entry.number < before]
        return found[::-1][:limit]
