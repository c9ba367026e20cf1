"""Documents and logs."""

from __future__ import annotations

from hypothesis import strategies as st

from asynqio.brokers.contract.documents import LogEntry
from tests.conformance.model_based.machine import Machine, operation

collections = st.sampled_from(["tenants", "tokens {t}"])
logs = st.sampled_from(["audit", "tenants"])


@operation(
    needs="is_whole",
    collection=collections,
    name=st.sampled_from(["a", "b"]),
    stored=st.sampled_from([b"1", b"2", None]),
    known=st.none() | st.integers(0, 3),
)
def put_document(
    machine: Machine, collection: str, name: str, stored: bytes | None, known: int | None
) -> None:
    revision, documents = machine.collections.get(collection, (0, {}))
    expected: int | None = revision
    if known is not None and known != revision:
        expected = None
    elif stored is not None or name in documents:
        expected = revision + 1
        documents = {other: text for other, text in documents.items() if other != name}
        if stored is not None:
            documents[name] = stored
        machine.collections[collection] = (expected, documents)
    put = machine.broker.put_document(collection, name, stored, known=known)
    assert machine.run(put) == expected
    assert machine.run(machine.broker.collection(collection)) == machine.collections.get(collection, (0, {}))


@operation(needs="is_whole", collection=collections, known=st.integers(0, 3))
def read_collection(machine: Machine, collection: str, known: int) -> None:
    found = machine.collections.get(collection, (0, {}))
    expected = None if found[0] and found[0] == known else found
    assert machine.run(machine.broker.collection(collection, known)) == expected


@operation(
    needs="is_whole",
    log=logs,
    count=st.integers(0, 3),
    keep=st.integers(0, 4),
    age=st.sampled_from([1.0, 30.0, 1e6]),
)
def append_log(machine: Machine, log: str, count: int, keep: int, age: float) -> None:
    entries = machine.logs.setdefault(log, [])
    last = entries[-1].number if entries else 0
    now = machine.clock.now()
    data = [b"%d" % next(machine.fresh) for _ in range(count)]
    entries += [LogEntry(last + place, now, one) for place, one in enumerate(data, 1)]
    machine.run(machine.broker.append_log(log, data, keep=keep, age=age))
    newest = entries[-max(keep, 1) :]
    machine.logs[log] = [one for one in newest if one is newest[-1] or one.at >= now - age]
    assert machine.run(machine.broker.read_log(log)) == machine.logs[log][::-1]


@operation(needs="is_whole", log=logs, before=st.none() | st.integers(0, 9), limit=st.integers(1, 3))
def read_log(machine: Machine, log: str, before: int | None, limit: int) -> None:
    entries = [one for one in machine.logs.get(log, []) if before is None or one.number < before]
    found = machine.run(machine.broker.read_log(log, before=before, limit=limit))
    assert found == entries[::-1][:limit]
