"""Rule 7: `settle` acts on a held lease; state, counters and lock change in one step, or not at all."""

from __future__ import annotations

import msgspec
import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Output
from asynqio.core.lifecycle import Failed, Lease, Settlement, Succeeded
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.errors import DeadlineExceeded, RevokeTask
from asynqio.testing import FakeClock
from tests.builders import abandoned, aborted, archived, entry, failed, message, settlement
from tests.conformance.conftest import broker_of
from tests.conformance.helpers import (
    as_stored,
    entry_for,
    find_task,
    get_task,
    ids,
    is_locked,
    is_notified,
    put,
    put_in_state,
    recover,
    snapshot,
    state_of,
    take,
)


async def counters(broker: Store, queue: str = "default") -> tuple[int, int, int, int]:
    [stats] = await broker.stats([queue])
    return stats.processed, stats.failed, stats.processed_total, stats.failed_total


async def test_rule_7_a_task_without_retention_is_deleted_on_success(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]
    assert await find_task(broker, "a") is None
    assert await counters(broker) == (1, 0, 1, 0)


async def test_rule_7_a_task_with_retention_is_completed_and_keeps_its_result(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", retention=60.0))
    [lease] = await take(broker)
    clock.advance(5)
    assert await broker.settle([settlement(lease, Succeeded(b"42"), clock.now())]) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.result, seen.completed_at) == (TaskState.COMPLETED, b"42", clock.now())
    assert await counters(broker) == (1, 0, 1, 0)


async def test_rule_20_a_task_past_its_deadline_frees_its_lock(broker: Store, clock: FakeClock) -> None:
    unique = entry("a", unique=600.0, deadline=clock.now() + 5)
    await put(broker, unique)
    [lease] = await take(broker)
    assert await is_locked(broker, unique)
    clock.advance(6)
    assert await broker.settle([failed(lease, clock.now(), DeadlineExceeded(6.0))]) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.retried) == (TaskState.ARCHIVED, 0)
    assert "deadline" in seen.last_error
    assert not await is_locked(broker, unique)


async def test_rule_7_a_failed_task_is_in_retry_with_its_error(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    assert await broker.settle([failed(lease, clock.now(), ValueError("no such address"))]) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.retried, seen.last_failed_at) == (TaskState.RETRY, 1, clock.now())
    assert seen.last_error == "ValueError: no such address"
    assert seen.next_process_at == clock.now() + 60
    assert await counters(broker) == (1, 1, 1, 1)


async def test_rule_7_a_task_without_retries_left_is_archived(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    assert await broker.settle([archived(lease, clock.now())]) == [True]
    assert await state_of(broker, "a") is TaskState.ARCHIVED
    assert await counters(broker) == (1, 1, 1, 1)


async def test_rule_7_an_aborted_task_is_pending_again_and_not_counted(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    clock.advance(3)
    assert await broker.settle([aborted(lease, clock.now())]) == [True]
    seen = await get_task(broker, "a")
    assert (seen.state, seen.retried, seen.pending_since) == (TaskState.PENDING, 0, clock.now())
    assert await counters(broker) == (0, 0, 0, 0)


async def test_rule_7_a_task_settled_to_pending_is_at_the_front(broker: Store, clock: FakeClock) -> None:
    # Given three tasks, the first of which is active
    await put(broker, *map(entry, "abc"))
    [lease] = await take(broker)
    # When its server stops
    clock.advance(10)
    await broker.settle([aborted(lease, clock.now())])
    # Then its task is in front of the others
    assert await ids(broker, TaskState.PENDING) == ["a", "b", "c"]
    assert [lease.message.id for lease in await take(broker, 3)] == ["a", "b", "c"]


async def test_rule_7_the_message_of_the_settlement_is_stored(
    broker: Store, clock: FakeClock, kind: str
) -> None:
    await put(broker, entry("a", headers={"k": "v"}))
    [lease] = await take(broker)
    after = msgspec.structs.replace(
        lease.message, retried=7, last_error="ü\n" * 2000, crashes=2, deferrals=3, last_failed_at=1.5
    )
    assert await broker.settle([Settlement(lease, TaskState.RETRY, after, clock.now() + 9)]) == [True]
    seen = await get_task(broker, "a")
    assert {name: getattr(seen, name) for name in type(after).__struct_fields__} == msgspec.structs.asdict(
        as_stored(broker_of(kind), after)
    )


async def test_rule_7_only_the_first_settlement_of_a_lease_counts(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", retention=60.0))
    [lease] = await take(broker)
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]
    before = await snapshot(broker)
    assert await broker.settle([failed(lease, clock.now()), archived(lease, clock.now())]) == [False, False]
    assert await snapshot(broker) == before


async def test_rule_7_a_lease_settled_twice_in_one_batch_counts_once(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    assert await broker.settle([failed(lease, clock.now()), settlement(lease)]) == [True, False]
    assert await state_of(broker, "a") is TaskState.RETRY
    assert await counters(broker) == (1, 1, 1, 1)


async def test_rule_7_an_expired_lease_that_was_not_recovered_can_be_settled(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=10)
    clock.advance(1000)
    assert await broker.settle([settlement(lease, now=clock.now())]) == [True]
    assert await find_task(broker, "a") is None


async def test_rule_7_a_late_settlement_is_refused_after_recovery(broker: Store, clock: FakeClock) -> None:
    # Given a recovered task that is pending again
    await put(broker, entry("a"))
    [mine] = await take(broker, lease=30)
    clock.advance(31)
    [lost] = (await broker.expired(["default"], 10)).leases
    assert await broker.settle([abandoned(lost, clock.now())]) == [True]
    before = await snapshot(broker)
    # When its former server settles it
    assert await broker.settle([settlement(mine, Succeeded(b"late"), clock.now())]) == [False]
    # Then nothing changes
    assert await snapshot(broker) == before


async def test_rule_7_a_late_settlement_is_refused_while_another_server_runs_the_task(
    broker: Store, clock: FakeClock
) -> None:
    # Given a task that was recovered and leased to a second server
    await put(broker, entry("a", retention=60.0))
    [stale] = await take(broker, lease=10, owner="one")
    clock.advance(10)
    await recover(broker, clock)
    [fresh] = await take(broker, owner="two")
    before = await snapshot(broker)
    # When the first one settles it, with any outcome
    late = [
        settlement(stale, now=clock.now()),
        failed(stale, clock.now()),
        archived(stale, clock.now()),
        aborted(stale, clock.now()),
        settlement(stale, Failed(RevokeTask()), clock.now()),
    ]
    # Then it is refused, and the second one can settle
    assert await broker.settle(late) == [False] * 5
    assert await snapshot(broker) == before
    assert await broker.settle([settlement(fresh, Succeeded(b"mine"), clock.now())]) == [True]
    assert (await get_task(broker, "a")).result == b"mine"


async def test_rule_7_a_stale_lease_does_not_settle_a_new_task_of_the_same_id(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [stale] = await take(broker)
    await broker.settle([settlement(stale, now=clock.now())])
    await put(broker, entry("a", payload=b"second life"))
    await take(broker)
    before = await snapshot(broker)
    assert await broker.settle([settlement(stale, now=clock.now())]) == [False]
    assert await snapshot(broker) == before


@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.ACTIVE])
async def test_rule_7_only_an_active_task_can_be_settled(
    broker: Store, clock: FakeClock, state: TaskState
) -> None:
    # Given a valid lease of another task, so that the broker knows its token
    await put(broker, entry("other"))
    [other] = await take(broker, lease=1e6)
    await put_in_state(broker, clock, state, entry_for(state, "a"))
    before = await snapshot(broker)
    forged = Lease(await see_message(broker, "a"), other.expires_at, other.token)
    assert await broker.settle([settlement(forged, now=clock.now())]) == [False]
    assert await snapshot(broker) == before


async def see_message(broker: Store, id: str) -> TaskMessage:
    seen = await get_task(broker, id)
    return message(**{name: getattr(seen, name) for name in TaskMessage.__struct_fields__})


async def test_rule_7_a_lease_of_a_removed_queue_or_task_is_refused(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    ghosts = [
        Lease(message("a", queue="ghost"), lease.expires_at, lease.token),
        Lease(message("ghost"), lease.expires_at, lease.token),
    ]
    assert await broker.settle([settlement(ghost) for ghost in ghosts]) == [False, False]
    assert await broker.queues() == ["default"]


async def test_rule_2_answers_of_settle_are_aligned_and_a_refusal_affects_no_other(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "abc"), entry("d", queue="other"))
    one, two, three, four = await take(broker, 4, queues=["default", "other"])
    await broker.settle([settlement(two, now=clock.now())])
    batch = [
        failed(one, clock.now()),
        settlement(two, now=clock.now()),
        archived(three, clock.now()),
        aborted(four, clock.now()),
    ]
    assert await broker.settle(batch) == [True, False, True, True]
    assert await state_of(broker, "a") is TaskState.RETRY
    assert await state_of(broker, "c") is TaskState.ARCHIVED
    assert await state_of(broker, "d", "other") is TaskState.PENDING


async def test_rule_7_counters_are_per_queue_and_per_day(broker: Store, clock: FakeClock) -> None:
    # Given two attempts today, one in another queue, and one tomorrow
    await put(broker, *map(entry, "abc"), entry("d", queue="other"))
    one, two, three = await take(broker, 3, lease=1e6)
    [four] = await take(broker, queues=["other"])
    await broker.settle([settlement(one, now=clock.now()), failed(two, clock.now())])
    await broker.settle([settlement(four, now=clock.now())])
    today = clock.now()
    clock.advance(86_400)
    await broker.settle([archived(three, clock.now())])
    # Then each day has its own counters, and the totals are their sums
    assert await counters(broker) == (1, 1, 3, 2)
    assert await counters(broker, "other") == (0, 0, 1, 0)
    days = [(day.day, day.processed, day.failed) for day in await broker.history("default", 3)]
    assert today == 1_700_000_000.0
    assert days == [("2023-11-15", 1, 1), ("2023-11-14", 2, 1), ("2023-11-13", 0, 0)]


async def test_rule_7_an_uncounted_outcome_changes_no_counter(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    put_off = Settlement(lease, TaskState.RETRY, lease.message, clock.now() + 5, processed=False)
    assert await broker.settle([put_off]) == [True]
    assert await counters(broker) == (0, 0, 0, 0)


async def test_rule_7_deletion_frees_the_lock(broker: Store, clock: FakeClock) -> None:
    one = entry("a", unique=600)
    await put(broker, one)
    [lease] = await take(broker)
    assert await is_locked(broker, one)
    await broker.settle([settlement(lease, now=clock.now())])
    assert not await is_locked(broker, one)


async def test_rule_7_revocation_frees_the_lock(broker: Store, clock: FakeClock) -> None:
    one = entry("a", unique=600, retention=60.0)
    await put(broker, one)
    [lease] = await take(broker)
    await broker.settle([settlement(lease, Failed(RevokeTask()), clock.now())])
    assert await find_task(broker, "a") is None
    assert not await is_locked(broker, one)


async def test_rule_7_completion_frees_the_lock(broker: Store, clock: FakeClock) -> None:
    one = entry("a", unique=600, retention=60.0)
    await put_in_state(broker, clock, TaskState.COMPLETED, one)
    assert not await is_locked(broker, one)


async def test_rule_7_retry_pending_and_archived_keep_the_lock(broker: Store, clock: FakeClock) -> None:
    batch = [entry(id, payload=id.encode(), unique=600) for id in "abc"]
    await put(broker, *batch)
    one, two, three = await take(broker, 3)
    await broker.settle([failed(one, clock.now()), aborted(two, clock.now()), archived(three, clock.now())])
    assert [await is_locked(broker, like) for like in batch] == [True, True, True]


async def test_rule_7_a_lock_taken_by_another_task_is_not_freed(broker: Store, clock: FakeClock) -> None:
    # Given a task whose lock expired and was taken by another task
    await put(broker, entry("a", unique=10))
    [lease] = await take(broker, lease=1000)
    clock.advance(10)
    other = entry("b", unique=600)
    await put(broker, other)
    # When the first one succeeds
    await broker.settle([settlement(lease, now=clock.now())])
    # Then the second one still holds the lock
    assert await is_locked(broker, other)


async def test_rule_7_a_settlement_without_result_keeps_the_written_one(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", retention=60.0), entry("b", retention=60.0))
    one, two = await take(broker, 2)
    await broker.write_output([Output(one, b"written"), Output(two, b"written")])
    await broker.settle([settlement(one), settlement(two, Succeeded(b"returned"))])
    assert (await get_task(broker, "a")).result == b"written"
    assert (await get_task(broker, "b")).result == b"returned"


async def test_rule_7_a_lease_returned_by_expired_can_be_settled(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", headers={"k": "v"}))
    [mine] = await take(broker, lease=10)
    clock.advance(10)
    [found] = (await broker.expired(["default"], 10)).leases
    assert found is not mine
    assert (found.message, found.expires_at) == (mine.message, mine.expires_at)
    assert await broker.settle([abandoned(found, clock.now())]) == [True]


@pytest.mark.parametrize("how", ["gone", "completed", "archived"])
async def test_rule_5_settling_notifies_watches_of_the_end(broker: Store, clock: FakeClock, how: str) -> None:
    one = entry("a", retention=60.0 if how == "completed" else 0.0)
    await put(broker, one)
    [lease] = await take(broker)
    with broker.watch([signals.ended(one.message.ref)]) as watch:
        end = archived(lease, clock.now()) if how == "archived" else settlement(lease, now=clock.now())
        await broker.settle([end])
        assert await is_notified(watch)


async def test_rule_5_settling_notifies_watches_of_retry_and_pending(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "ab"))
    one, two = await take(broker, 2)
    with (
        broker.watch([signals.due("default")]) as due,
        broker.watch([signals.pending("default")]) as pending,
    ):
        await broker.settle([failed(one, clock.now()), aborted(two, clock.now())])
        assert await is_notified(due)
        assert await is_notified(pending)
