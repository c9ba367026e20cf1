"""Shared documents: every gateway sees every change, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.documents import Collection
from asynqio.errors import BrokerUnavailable
from asynqio.gateway.principals.shared_documents import SharedDocuments
from asynqio.testing import FakeClock, Flaky


class Note(msgspec.Struct, frozen=True):
    text: str


def notes(store: Store) -> SharedDocuments[Note]:
    return SharedDocuments(store, "notes", Note)


async def test_what_one_gateway_writes_another_one_reads(store: Store, clock: FakeClock) -> None:
    one, other = notes(store), notes(store)
    await other.refresh()
    assert other.by_name == {}
    await one.change(lambda stored: ("a", Note("first")))
    assert one.by_name == {"a": Note("first")}
    assert other.by_name == {}
    await other.refresh()
    assert other.by_name == {"a": Note("first")}
    await other.change(lambda stored: ("a", None))
    await one.refresh()
    assert one.by_name == {}


async def test_changes_of_all_gateways_are_reported_once(store: Store) -> None:
    one, other = notes(store), notes(store)
    await one.change(lambda stored: ("a", Note("first")))
    await one.change(lambda stored: ("b", Note("second")))
    assert one.take_changed() == {"a", "b"}
    await other.change(lambda stored: ("b", Note("third")))
    await other.change(lambda stored: ("c", Note("fourth")))
    assert one.take_changed() == set()
    await one.refresh()
    edition = one.edition
    assert one.take_changed() == {"b", "c"}
    await one.refresh()
    assert one.take_changed() == set()
    assert one.edition == edition
    await one.change(lambda stored: ("a", None))
    assert one.take_changed() == {"a"}


@pytest.mark.requirement("SEC-GW-14")
async def test_of_concurrent_changes_none_is_lost(store: Store) -> None:
    gateways = [notes(store) for _ in range(4)]

    def add(number: int) -> Callable[[Mapping[str, Note]], tuple[str, Note]]:
        def decide(stored: Mapping[str, Note]) -> tuple[str, Note]:
            before = stored["all"].text if "all" in stored else ""
            return "all", Note(f"{before} {number}")

        return decide

    await asyncio.gather(*(gateways[number % 4].change(add(number)) for number in range(20)))
    await gateways[0].refresh()
    assert sorted(map(int, gateways[0].by_name["all"].text.split())) == list(range(20))


async def test_what_a_decision_raises_changes_nothing(store: Store) -> None:
    one = notes(store)

    def refuse(stored: Mapping[str, Note]) -> tuple[str, Note]:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await one.change(refuse)
    assert await store.collection("notes") == Collection(0, {})


async def test_an_unreadable_document_is_ignored_and_logged_once(
    store: Store, logged: pytest.LogCaptureFixture
) -> None:
    one = notes(store)
    await one.change(lambda stored: ("a", Note("first")))
    await store.put_document("notes", "b", b'{"text": 5}')
    await store.put_document("notes", "c", b"\xff canary")
    await one.refresh()
    await one.change(lambda stored: ("d", Note("fourth")))
    await one.refresh()
    assert set(one.by_name) == {"a", "d"}
    named = [record.__dict__["document"] for record in logged.records if "document" in record.__dict__]
    assert sorted(named) == ["b", "c"]
    assert "canary" not in logged.text
    await store.put_document("notes", "a", b"damaged")
    await one.refresh()
    assert set(one.by_name) == {"d"}
    assert "a" in one.take_changed(), "it is not accepted any more"


async def test_concurrent_refreshes_share_one_call_and_a_cancelled_one_hurts_nobody(
    store: Store, clock: FakeClock
) -> None:
    flaky = Flaky(store)
    one = notes(flaky.broker)
    waiting = [asyncio.create_task(one.refresh()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [None] * 19
    assert flaky.calls["collection"] == 1
    assert one.age == 0.0
    clock.advance(3)
    assert one.age == 3.0


async def test_a_store_that_does_not_answer_leaves_the_documents_and_their_age(
    store: Store, clock: FakeClock
) -> None:
    flaky = Flaky(store)
    one = notes(flaky.broker)
    await one.change(lambda stored: ("a", Note("first")))
    clock.advance(7)
    flaky.fail(1, "collection")
    with pytest.raises(BrokerUnavailable):
        await one.refresh()
    assert one.by_name == {"a": Note("first")}
    assert one.age == 7.0
    await one.refresh()
    assert one.age == 0.0


async def test_a_slow_read_does_not_bring_old_documents_back(store: Store) -> None:
    asked, release = asyncio.Event(), asyncio.Event()

    class Slow:
        """The store; the answer of its first read arrives late."""

        def __init__(self) -> None:
            self.clock = store.clock
            self.put_document = store.put_document

        async def collection(self, name: str, known: int = 0) -> Collection | None:
            first = not asked.is_set()
            found = await store.collection(name, known)
            if first:
                asked.set()
                await release.wait()
            return found

    await notes(store).change(lambda stored: ("a", Note("first")))
    one = notes(Slow())  # type: ignore[arg-type]
    late = asyncio.create_task(one.refresh())
    await asked.wait()
    await one.change(lambda stored: ("a", None))
    release.set()
    await late
    assert one.by_name == {}
