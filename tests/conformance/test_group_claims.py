"""Rules 10 and 11: claims of groups are renewed and returned, failures are counted, hopeless batches are archived."""

from __future__ import annotations

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Claimed, Moved
from asynqio.core.groups import BATCH_LEASE, BATCH_MEMBERS, GroupRule, failed_again
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import get_task, is_locked, is_notified, put, snapshot, take
from tests.conformance.test_groups import NOW, claim, members, names


async def test_rule_11_a_claim_can_be_renewed(broker: Store, clock: FakeClock) -> None:
    # Given two claims, one of which was lost
    await members(broker, "a")
    await members(broker, "b", group="other")
    kept, lost = (await broker.claim_groups(["default"], NOW, 9)).batches
    assert await broker.merge_group(lost, entry("digest")) is Admission.ACCEPTED
    # When they are renewed before they expire
    clock.advance(BATCH_LEASE - 1)
    assert await broker.renew_batches([kept, lost], BATCH_LEASE) == [True, False]
    assert await broker.renew_batches([], BATCH_LEASE) == []
    # Then the claim lasts, and the batch can be merged
    clock.advance(BATCH_LEASE - 1)
    await broker.sweep(["default"], 9)
    assert await broker.groups("default") == []
    assert await broker.merge_group(kept, entry("late")) is Admission.ACCEPTED


async def test_rule_11_a_returned_batch_can_be_claimed_at_once(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a", "b")
    [before] = await broker.groups("default")
    clock.advance(5)
    batch = await claim(broker)
    with broker.watch([signals.grouped("default")]) as watch:
        assert await broker.return_batch(batch)
        assert await is_notified(watch)
    assert await broker.groups("default") == [before]
    again = await claim(broker)
    assert (sorted(names(again)), again.failure) == (["a", "b"], None)
    assert not await broker.return_batch(batch)
    assert await broker.merge_group(batch, entry("digest")) is None


async def test_rule_11_a_failed_group_waits_and_counts_its_failures(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a")
    start, failure = clock.now(), None
    for number in range(3):
        batch = await claim(broker)
        assert (batch.failure, batch.oldest_at) == (failure, start)
        failure = failed_again(failure, f"ValueError: {number}\n\u00fc", clock.now(), batch.oldest_at)
        assert await broker.return_batch(batch, failure)
        # Then every server sees it, and leaves the group alone until then, even if a member joins
        [group] = await broker.groups("default")
        assert group.failure == failure
        await members(broker, f"later {number}")
        expected = Claimed([], failure.retry_at)
        assert await broker.claim_groups(["default"], GroupRule(grace=0, max_size=1), 9) == expected
        assert await broker.claim_groups(["default"], NOW, 9) == expected
        clock.advance(failure.retry_at - clock.now())
    # A success ends the failures
    batch = await claim(broker)
    assert batch.failure is not None
    assert batch.failure.failures == 3
    assert await broker.merge_group(batch, entry("digest")) is Admission.ACCEPTED
    await members(broker, "b")
    assert (await claim(broker)).failure is None


async def test_rule_11_another_batch_of_a_failed_group_does_not_end_its_failures(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    clock.advance(1)
    await members(broker, "b")
    one = GroupRule(grace=0, max_size=1)
    first, second = (await broker.claim_groups(["default"], one, 9)).batches
    failure = failed_again(None, "broken", clock.now(), first.oldest_at)
    assert await broker.return_batch(first, failure)
    assert await broker.merge_group(second, entry("digest")) is Admission.ACCEPTED
    [group] = await broker.groups("default")
    assert group.failure == failure


async def test_rule_11_the_failures_end_with_the_members(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    await broker.return_batch(batch, failed_again(None, "broken", clock.now(), batch.oldest_at))
    assert await broker.move(Action.DELETE, [TaskRef("default", "a")]) == [Moved.DONE]
    await members(broker, "b")
    assert (await claim(broker)).failure is None


async def test_rule_11_flushing_a_failed_group_tries_it_at_once_and_once(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    failure = failed_again(None, "broken", clock.now(), batch.oldest_at)
    await broker.return_batch(batch, failure)
    assert await broker.flush_group("default", "news") == 1
    batch = await claim(broker)
    assert batch.failure == failure
    again = failed_again(failure, "broken", clock.now(), batch.oldest_at)
    await broker.return_batch(batch, again)
    assert await broker.claim_groups(["default"], NOW, 9) == ([], again.retry_at)


async def test_rule_11_a_claim_that_expires_is_a_failure(broker: Store, clock: FakeClock) -> None:
    # Given a group with two batches of a server that died
    await members(broker, "a", "b")
    assert len((await broker.claim_groups(["default"], GroupRule(grace=0, max_size=1), 9)).batches) == 2
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 9)
    # Then that is one failure
    [group] = await broker.groups("default")
    assert group.failure is not None
    assert (group.failure.failures, group.failure.retry_at) == (1, clock.now() + 1)
    assert "died" in group.failure.error


async def test_rule_11_the_members_of_a_batch_can_be_archived_with_the_error(
    broker: Store, clock: FakeClock
) -> None:
    # Given a failed batch with locks, one of which ends with the task
    kept = entry("a", payload=b"a", group="news", unique=600)
    freed = entry("b", payload=b"b", group="news", unique=600, until="ended")
    await put(broker, kept, freed)
    batch = await claim(broker)
    clock.advance(3)
    failure = failed_again(None, "ValueError: broken", clock.now(), batch.oldest_at)
    # When it is archived
    with broker.watch([signals.ended(TaskRef("default", "a"))]) as watch:
        assert await broker.return_batch(batch, failure, archive=True)
        assert await is_notified(watch)
    # Then an operator sees the members and their error, and can run them
    for id in "ab":
        task = await get_task(broker, id)
        assert (task.state, task.group) == (TaskState.ARCHIVED, "news")
        assert (task.last_error, task.last_failed_at) == ("ValueError: broken", clock.now())
    assert await is_locked(broker, kept)
    assert not await is_locked(broker, freed)
    assert await broker.groups("default") == []
    assert not await broker.return_batch(batch, failure, archive=True)
    assert await broker.move(Action.RUN, [TaskRef("default", id) for id in "ab"]) == [Moved.DONE] * 2
    assert sorted(lease.message.id for lease in await take(broker, 9)) == ["a", "b"]
    # and the group starts anew
    await members(broker, "c")
    assert (await claim(broker)).failure is None


async def test_rule_11_a_large_batch_can_be_archived(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"{number:05}", group="news") for number in range(BATCH_MEMBERS)))
    batch = await claim(broker)
    failure = failed_again(None, "broken", clock.now(), batch.oldest_at)
    assert await broker.return_batch(batch, failure, archive=True)
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.aggregating, stats.groups) == (BATCH_MEMBERS, 0, 0)


async def test_rule_11_the_members_of_a_batch_can_be_deleted(broker: Store, clock: FakeClock) -> None:
    # Given a claimed batch with locks, and a member that joined later
    one = entry("a", payload=b"a", group="news", unique=600)
    await put(broker, one, entry("b", group="news"))
    batch = await claim(broker)
    await members(broker, "c")
    # When it is deleted
    with broker.watch([signals.ended(TaskRef("default", "a"))]) as watch:
        assert await broker.delete_batch(batch)
        assert await is_notified(watch)
    # Then only its members are gone, with their locks, and no attempt is counted
    assert await broker.find([TaskRef("default", id) for id in "ab"]) == [None, None]
    assert not await is_locked(broker, one)
    [stats] = await broker.stats(["default"])
    assert (stats.aggregating, stats.groups, stats.size) == (1, 1, 1)
    assert (stats.processed_total, stats.failed_total) == (0, 0)
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 9)
    assert names(await claim(broker)) == ["c"]


async def test_rule_11_a_batch_is_deleted_once(broker: Store, clock: FakeClock) -> None:
    for id in "abcd":
        await members(broker, id, group=id)
    found = {batch.group: batch for batch in (await broker.claim_groups(["default"], NOW, 9)).batches}
    # Given a batch that was deleted, one that was merged, one that was returned, and one that expired
    assert await broker.delete_batch(found["a"])
    assert await broker.merge_group(found["b"], entry("digest")) is Admission.ACCEPTED
    assert await broker.return_batch(found["c"])
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 9)
    # Then none can be deleted, and nothing changes
    before = await snapshot(broker)
    for batch in found.values():
        assert not await broker.delete_batch(batch)
    assert await snapshot(broker) == before
    assert await broker.merge_group(found["a"], entry("other")) is None
    assert await broker.renew_batches([found["a"]], BATCH_LEASE) == [False]


async def test_rule_11_a_batch_of_a_removed_queue_cannot_be_deleted(broker: Store) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    await broker.remove_queue("default", force=True)
    assert not await broker.delete_batch(batch)
    assert await broker.queues() == []


async def test_rule_11_deleting_a_batch_ends_the_failures_as_a_merge_does(
    broker: Store, clock: FakeClock
) -> None:
    # Given a failed group of which two members are as old as the failed ones
    await members(broker, "a", "b")
    first, second = (await broker.claim_groups(["default"], GroupRule(grace=0, max_size=1), 9)).batches
    failure = failed_again(None, "broken", clock.now(), first.oldest_at)
    assert await broker.return_batch(first, failure)
    # Then the failures stay while one of them waits
    assert await broker.delete_batch(second)
    [group] = await broker.groups("default")
    assert group.failure == failure
    clock.advance(failure.retry_at - clock.now())
    assert await broker.delete_batch(await claim(broker))
    await members(broker, "c")
    assert (await claim(broker)).failure is None


async def test_rule_11_removing_a_queue_deletes_its_failures(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    await broker.return_batch(batch, failed_again(None, "broken", clock.now(), batch.oldest_at))
    await broker.remove_queue("default", force=True)
    await members(broker, "b")
    assert (await claim(broker)).failure is None


async def test_groups_can_be_read_by_name(broker: Store) -> None:
    for group in "abc":
        await members(broker, f"of {group}", group=group)
    listed = await broker.groups("default", ["c", "ghost", "a", "a"])
    assert [group.group for group in listed] == ["a", "c"]
    assert await broker.groups("default", []) == []
