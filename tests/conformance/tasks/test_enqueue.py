"""Rules 1, 2 and 3: an accepted entry is stored completely and once, a refused one changes nothing."""

from __future__ import annotations

import msgspec
import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import UniqueUntil, unique_key
from asynqio.testing import FakeClock
from tests.builders import entry, settlement
from tests.conformance.conftest import broker_of
from tests.conformance.helpers import (
    as_stored,
    entry_for,
    find_task,
    get_task,
    ids,
    is_locked,
    put,
    put_in_state,
    snapshot,
    state_of,
    take,
)

WHOLE = TaskMessage(
    id="id with {braces}: ünï 漢",
    type="type:with *stars*",
    queue="queue {a}:b",
    payload=b"\x00\xff binary",
    max_retry=3,
    retried=1,
    last_error="it broke\nhere 'and' \"there\"",
    last_failed_at=1_600_000_000.25,
    timeout=12.5,
    deadline=1_800_000_000.0,
    unique_key=unique_key("queue {a}:b", "type:with *stars*", b"\x00\xff binary"),
    group="group %s",
    retention=3600.0,
    headers={"traceparent": "00-1", "leer": ""},
    crashes=1,
    deferrals=2,
    unique_until=UniqueUntil.ENDED,
)


async def test_rule_1_a_task_keeps_every_field(broker: Store, kind: str) -> None:
    # Given a task with every field set, and names that need care
    await put(broker, Entry(WHOLE, TaskState.PENDING, 0.0, 60.0))
    # When it is read and processed
    seen = await get_task(broker, WHOLE.id, WHOLE.queue)
    [lease] = await take(broker, queues=[WHOLE.queue])
    # Then no field has changed
    kept = as_stored(broker_of(kind), WHOLE)
    assert lease.message == kept
    assert {name: getattr(seen, name) for name in TaskMessage.__struct_fields__} == msgspec.structs.asdict(
        kept
    )


@pytest.mark.parametrize("payload", [None, b"", b"null", bytes(range(256)), b"x" * 1_000_000])
async def test_rule_1_a_payload_is_stored_byte_for_byte_and_none_is_not_empty(
    broker: Store, payload: bytes | None
) -> None:
    await put(broker, entry("a", payload=payload))
    [lease] = await take(broker)
    assert lease.message.payload == payload
    assert (lease.message.payload is None) is (payload is None)


@pytest.mark.parametrize("state", [TaskState.PENDING, TaskState.SCHEDULED, TaskState.AGGREGATING])
async def test_rule_1_an_entry_enters_exactly_the_state_it_names(broker: Store, state: TaskState) -> None:
    await put(broker, entry_for(state, "a"))
    assert {other: await ids(broker, other) for other in TaskState} == {
        other: ["a"] if other is state else [] for other in TaskState
    }


async def test_rule_1_an_overdue_entry_stays_scheduled_until_forward(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() - 5))
    assert await state_of(broker, "a") is TaskState.SCHEDULED
    assert await take(broker) == []


async def test_rule_1_the_same_id_in_two_queues_is_two_tasks(broker: Store) -> None:
    await put(broker, entry("a", queue="one", payload=b"1"), entry("a", queue="two", payload=b"2"))
    assert (await get_task(broker, "a", "one")).payload == b"1"
    assert (await get_task(broker, "a", "two")).payload == b"2"


async def test_rule_2_answers_are_aligned_with_the_entries(broker: Store, clock: FakeClock) -> None:
    # Given an existing id and a held lock
    await put(broker, entry("taken", payload=b"1"), entry("holder", payload=b"2", unique=60))
    # When a batch contains entries of every kind
    answers = await broker.enqueue(
        [
            entry("new-1", queue="other"),
            entry("taken"),
            entry("new-2", at=clock.now() + 5),
            entry("clone", payload=b"2", unique=60),
            entry("new-3", group="news"),
        ]
    )
    # Then each has its own answer, and the refused ones do not affect the others
    accepted, conflict, duplicate = Admission.ACCEPTED, Admission.ID_CONFLICT, Admission.DUPLICATE
    assert answers == [accepted, conflict, accepted, duplicate, accepted]
    assert await ids(broker, TaskState.PENDING, "other") == ["new-1"]
    assert await ids(broker, TaskState.SCHEDULED) == ["new-2"]
    assert await ids(broker, TaskState.AGGREGATING) == ["new-3"]
    assert await ids(broker, TaskState.PENDING) == ["taken", "holder"]


async def test_rule_2_an_empty_batch_has_no_answers_and_creates_no_queue(broker: Store) -> None:
    assert await broker.enqueue([]) == []
    assert await broker.queues() == []


async def test_rule_2_entries_of_one_batch_conflict_with_each_other(broker: Store) -> None:
    answers = await broker.enqueue(
        [entry("a"), entry("a"), entry("b", payload=b"u", unique=9), entry("c", payload=b"u", unique=9)]
    )
    assert answers == [
        Admission.ACCEPTED,
        Admission.ID_CONFLICT,
        Admission.ACCEPTED,
        Admission.DUPLICATE,
    ]


async def test_rule_2_a_thousand_entries_keep_their_order(broker: Store) -> None:
    names = [f"task-{number}" for number in range(1_000)]
    await put(broker, *map(entry, names))
    assert await ids(broker, TaskState.PENDING) == names


async def test_rule_3_duplicate_is_answered_before_id_conflict(broker: Store) -> None:
    await put(broker, entry("a", unique=60))
    assert await broker.enqueue([entry("a", unique=60)]) == [Admission.DUPLICATE]


@pytest.mark.parametrize("state", list(TaskState))
async def test_rule_3_an_id_conflicts_in_every_state(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    await put_in_state(broker, clock, state, entry_for(state, "a", payload=b"first"))
    before = await snapshot(broker)
    assert await broker.enqueue([entry("a", payload=b"second")]) == [Admission.ID_CONFLICT]
    assert await snapshot(broker) == before


async def test_rule_3_an_id_conflict_takes_no_lock(broker: Store) -> None:
    await put(broker, entry("a", payload=b"1"))
    refused = entry("a", payload=b"2", unique=60)
    assert await broker.enqueue([refused]) == [Admission.ID_CONFLICT]
    assert not await is_locked(broker, refused)


async def test_rule_3_a_refused_duplicate_changes_nothing(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", unique=60))
    before = await snapshot(broker)
    refused = [
        entry("b", unique=600),
        entry("c", at=clock.now() + 5, unique=600),
        entry("d", group="g", unique=600),
    ]
    assert await broker.enqueue(refused) == [Admission.DUPLICATE] * 3
    assert await snapshot(broker) == before
    # and the lock was not extended
    clock.advance(60)
    assert not await is_locked(broker, refused[0])


async def test_rule_3_a_lock_is_held_exactly_for_its_ttl(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", unique=60))
    clock.advance(59)
    assert await broker.enqueue([entry("b", unique=60)]) == [Admission.DUPLICATE]
    clock.advance(1)
    assert await broker.enqueue([entry("b", unique=60)]) == [Admission.ACCEPTED]


async def test_rule_3_a_lock_affects_only_unique_entries(broker: Store) -> None:
    await put(broker, entry("a", unique=60))
    assert await broker.enqueue([entry("b")]) == [Admission.ACCEPTED]


async def test_rule_3_locks_differ_by_queue_type_and_payload(broker: Store) -> None:
    await put(
        broker,
        entry("a", unique=60),
        entry("b", unique=60, queue="other"),
        entry("c", unique=60, type="sms:send"),
        entry("d", unique=60, payload=b"other"),
        entry("e", unique=60, payload=None),
        entry("f", unique=60, payload=b""),
    )


async def test_rule_3_an_id_is_free_after_its_task_is_deleted(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=clock.now())])
    assert await find_task(broker, "a") is None
    await put(broker, entry("a", payload=b"again"))
    assert (await get_task(broker, "a")).payload == b"again"


async def test_rule_5_enqueue_notifies_watches_of_the_state(broker: Store, clock: FakeClock) -> None:
    with (
        broker.watch([signals.pending("default")]) as pending,
        broker.watch([signals.due("default")]) as due,
        broker.watch([signals.grouped("default")]) as grouped,
    ):
        await put(broker, entry("a"), entry("b", at=clock.now() + 5), entry("c", group="g"))
        assert await pending.wait(20)
        assert await due.wait(20)
        assert await grouped.wait(20)
