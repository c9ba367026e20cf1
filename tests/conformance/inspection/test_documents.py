"""Documents and logs: `collection`, `put_document`, `append_log`, `read_log`."""

from __future__ import annotations

import asyncio

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.conformance.helpers import in_other_thread

pytestmark = pytest.mark.whole_store
YEAR = 365 * 86_400.0


async def numbers(broker: Store, log: str) -> list[int]:
    return [entry.number for entry in await broker.read_log(log)]


# --- documents ------------------------------------------------------------------------------------


async def test_rule_22_each_change_of_a_collection_increases_its_revision(broker: Store) -> None:
    assert await broker.collection("tenants") == (0, {})
    assert await broker.put_document("tenants", "a", b"one") == 1
    assert await broker.put_document("tenants", "b", b"") == 2
    assert await broker.put_document("tenants", "a", b"two") == 3
    assert await broker.put_document("tenants", "a", b"two") == 4, "a write is a change"
    assert await broker.collection("tenants") == (4, {"a": b"two", "b": b""})
    assert await broker.put_document("tenants", "a", None) == 5
    assert await broker.put_document("tenants", "a", None) == 5, "it was deleted already"
    assert await broker.collection("tenants") == (5, {"b": b""})


async def test_a_collection_keeps_its_revision_when_its_last_document_is_deleted(broker: Store) -> None:
    await broker.put_document("tenants", "a", b"one")
    await broker.put_document("tenants", "a", None)
    assert await broker.collection("tenants") == (2, {})
    assert await broker.collection("tenants", known=2) is None


async def test_a_collection_that_is_known_is_not_read_again(broker: Store) -> None:
    assert await broker.collection("tenants", known=0) == (0, {})
    await broker.put_document("tenants", "a", b"one")
    assert await broker.collection("tenants", known=1) is None
    assert await broker.collection("tenants", known=2) == (1, {"a": b"one"}), "as after a restored backup"
    await broker.put_document("tenants", "b", b"two")
    assert await broker.collection("tenants", known=1) == (2, {"a": b"one", "b": b"two"})


async def test_rule_22_a_write_for_another_revision_is_refused(broker: Store) -> None:
    assert await broker.put_document("tenants", "a", b"one", known=0) == 1
    assert await broker.put_document("tenants", "a", b"two", known=0) is None
    assert await broker.put_document("tenants", "b", b"two", known=0) is None
    assert await broker.put_document("tenants", "a", None, known=0) is None
    assert await broker.put_document("tenants", "a", b"two", known=7) is None
    assert await broker.collection("tenants") == (1, {"a": b"one"})
    assert await broker.put_document("tenants", "a", None, known=1) == 2


async def test_rule_22_one_of_many_concurrent_writes_for_a_revision_succeeds(broker: Store) -> None:
    def put(name: str) -> asyncio.Future[int | None]:
        return asyncio.ensure_future(broker.put_document("tenants", name, name.encode(), known=0))

    revisions = await asyncio.gather(*(put(str(number)) for number in range(20)))
    [winner] = [number for number, revision in enumerate(revisions) if revision is not None]
    assert revisions[winner] == 1
    assert await broker.collection("tenants") == (1, {str(winner): str(winner).encode()})


async def test_rule_22_one_of_two_equal_writes_for_a_revision_succeeds(broker: Store) -> None:
    assert await broker.put_document("tenants", "a", b"one", known=0) == 1
    assert await broker.put_document("tenants", "a", b"one", known=0) is None, (
        "of another writer, not a repetition"
    )
    assert await broker.put_document("tenants", "a", None, known=1) == 2
    assert await broker.put_document("tenants", "a", None, known=1) is None
    assert await broker.collection("tenants") == (2, {})
    answers = await asyncio.gather(*(broker.put_document("tenants", "b", b"x", known=2) for _ in range(20)))
    assert sorted(answer for answer in answers if answer is not None) == [3]


async def test_collections_and_names_of_any_text_stay_apart(broker: Store) -> None:
    names = ["a", "A", "", "revision", "d:revision", "ä {x}", "a:b", "\x00"]
    for name in names:
        await broker.put_document("one", name, name.encode())
    await broker.put_document("two", "a", b"other")
    found = await broker.collection("one")
    assert found == (len(names), {name: name.encode() for name in names})
    assert await broker.collection("two") == (1, {"a": b"other"})


async def test_documents_are_any_bytes_up_to_a_megabyte(broker: Store) -> None:
    for data in (bytes(range(256)), b"x" * 1_000_000):
        await broker.put_document("tenants", "a", data)
        found = await broker.collection("tenants")
        assert found is not None
        assert found.documents == {"a": data}


async def test_a_collection_that_was_read_does_not_change(broker: Store) -> None:
    await broker.put_document("tenants", "a", b"one")
    found = await broker.collection("tenants")
    assert found is not None
    found.documents["a"] = b"changed by the caller"
    await broker.put_document("tenants", "b", b"two")
    assert found.documents == {"a": b"changed by the caller"}
    assert await broker.collection("tenants") == (2, {"a": b"one", "b": b"two"})


async def test_clones_in_other_threads_see_documents_and_logs(broker: Store) -> None:
    async def read(clone: Store) -> tuple[object, list[bytes]]:
        return await clone.collection("tenants"), [entry.data for entry in await clone.read_log("audit")]

    await broker.put_document("tenants", "a", b"one")
    await broker.append_log("audit", [b"x"], keep=10, age=YEAR)
    assert await in_other_thread(broker, read) == ((1, {"a": b"one"}), [b"x"])


async def test_documents_and_logs_are_no_queues(broker: Store) -> None:
    await broker.put_document("default", "a", b"one")
    await broker.append_log("default", [b"x"], keep=10, age=YEAR)
    assert await broker.queues() == []


# --- logs -----------------------------------------------------------------------------------------


async def test_a_log_is_read_newest_first_in_pages(broker: Store, clock: FakeClock) -> None:
    assert await broker.read_log("audit") == []
    await broker.append_log("audit", [b"a", b"b"], keep=10, age=YEAR)
    first = clock.now()
    clock.advance(1.25)
    await broker.append_log("audit", [bytes(range(256)), b":7:8:"], keep=10, age=YEAR)
    entries = await broker.read_log("audit")
    assert [(entry.number, entry.data) for entry in entries] == [
        (4, b":7:8:"),
        (3, bytes(range(256))),
        (2, b"b"),
        (1, b"a"),
    ]
    assert [round(entry.at - first, 3) for entry in entries] == [1.25, 1.25, 0, 0]
    assert await broker.read_log("audit", limit=2) == entries[:2]
    assert await broker.read_log("audit", before=3, limit=1) == entries[2:3]
    assert await broker.read_log("audit", before=1) == []
    assert await broker.read_log("other") == []


async def test_rule_22_a_log_keeps_its_newest_entries(broker: Store) -> None:
    await broker.append_log("audit", [b"x"] * 5, keep=3, age=YEAR)
    assert await numbers(broker, "audit") == [5, 4, 3]
    await broker.append_log("audit", [b"y"], keep=2, age=YEAR)
    assert await numbers(broker, "audit") == [6, 5]
    await broker.append_log("audit", [b"y"] * 3, keep=0, age=YEAR)
    assert await numbers(broker, "audit") == [9], "the newest entry tells the next number"
    await broker.append_log("audit", [], keep=10, age=YEAR)
    assert await numbers(broker, "audit") == [9]


async def test_rule_22_a_log_keeps_no_old_entries_except_the_newest(broker: Store, clock: FakeClock) -> None:
    await broker.append_log("audit", [b"x", b"x"], keep=10, age=60)
    clock.advance(40)
    await broker.append_log("audit", [b"y"], keep=10, age=60)
    clock.advance(40)
    await broker.append_log("audit", [b"z"], keep=10, age=60)
    assert await numbers(broker, "audit") == [4, 3]
    clock.advance(90)
    await broker.append_log("audit", [], keep=10, age=60)
    assert await numbers(broker, "audit") == [4]
    await broker.append_log("audit", [b"z"], keep=10, age=60)
    assert await numbers(broker, "audit") == [5]


async def test_concurrent_appends_get_numbers_of_their_own(broker: Store) -> None:
    appends = (broker.append_log("audit", [b"%d" % number], keep=100, age=YEAR) for number in range(20))
    await asyncio.gather(*appends)
    entries = await broker.read_log("audit")
    assert [entry.number for entry in entries] == list(range(20, 0, -1))
    assert sorted(int(entry.data) for entry in entries) == list(range(20))
