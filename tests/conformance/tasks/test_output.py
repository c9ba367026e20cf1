"""`write_output`: results and progress are stored with tasks whose lease is still held."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Output
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import aborted, archived, entry, failed, message
from tests.conformance.helpers import get_task, put, recover, snapshot, take


async def test_output_is_visible_while_the_task_runs(broker: Store) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    assert await broker.write_output([Output(lease, b"\x00half", b'{"done":0.5}')]) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.result, seen.progress) == (TaskState.ACTIVE, b"\x00half", b'{"done":0.5}')


async def test_output_replaces_only_the_fields_it_sets(broker: Store) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.write_output([Output(lease, b"result", b"1")])
    await broker.write_output([Output(lease, progress=b"2"), Output(lease)])
    seen = await get_task(broker, "a")
    assert (seen.result, seen.progress) == (b"result", b"2")
    await broker.write_output([Output(lease, result=b"")])
    seen = await get_task(broker, "a")
    assert (seen.result, seen.progress) == (b"", b"2")


async def test_rule_2_answers_of_write_output_are_aligned(broker: Store) -> None:
    await put(broker, *map(entry, "ab"))
    one, two = await take(broker, 2)
    ghost = Lease(message("ghost"), one.expires_at, one.token)
    elsewhere = Lease(message("a", queue="ghost"), one.expires_at, one.token)
    outputs = [Output(ghost, b"x"), Output(one, b"1"), Output(elsewhere, b"x"), Output(two, b"2")]
    assert await broker.write_output(outputs) == [False, True, False, True]
    assert await broker.write_output([]) == []
    assert await broker.queues() == ["default"]


async def test_output_of_a_lost_lease_changes_nothing(broker: Store, clock: FakeClock) -> None:
    # Given a lease that expired and whose task was leased to another server
    await put(broker, entry("a"))
    [stale] = await take(broker, lease=10, owner="one")
    clock.advance(10)
    await recover(broker, clock)
    assert await broker.write_output([Output(stale, b"late")]) == [False]
    [fresh] = await take(broker, owner="two")
    before = await snapshot(broker)
    assert await broker.write_output([Output(stale, b"late", b"late")]) == [False]
    assert await snapshot(broker) == before
    assert await broker.write_output([Output(fresh, b"mine")]) == [True]


async def test_output_of_an_expired_lease_that_was_not_recovered_is_stored(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=10)
    clock.advance(11)
    assert await broker.write_output([Output(lease, b"kept")]) == [True]
    assert (await get_task(broker, "a")).result == b"kept"


async def test_output_survives_retries_and_archiving(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "abc"))
    leases = await take(broker, 3)
    await broker.write_output([Output(lease, b"partial", b"9") for lease in leases])
    one, two, three = leases
    await broker.settle([failed(one, clock.now()), archived(two, clock.now()), aborted(three, clock.now())])
    for id in "abc":
        seen = await get_task(broker, id)
        assert (seen.result, seen.progress) == (b"partial", b"9")


async def test_a_new_task_of_the_same_id_has_no_output(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.write_output([Output(lease, b"old", b"old")])
    await broker.settle([aborted(lease, clock.now())])
    await broker.move(Action.DELETE, [lease.message.ref])
    await put(broker, entry("a"))
    seen = await get_task(broker, "a")
    assert (seen.result, seen.progress) == (None, None)
