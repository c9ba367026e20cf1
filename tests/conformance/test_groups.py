"""Rules 10 and 11: a ripe group is claimed once, and merged in one step or not at all."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.core.groups import (
    BATCH_LEASE,
    BATCH_MEMBERS,
    GroupBatch,
    GroupPolicy,
    GroupRule,
    GroupRules,
)
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import (
    find_task,
    get_task,
    ids,
    is_locked,
    is_notified,
    put,
    snapshot,
    state_of,
    take,
)

NOW = GroupRule(grace=0.0)


async def members(broker: Store, *names: str, group: str = "news", queue: str = "default") -> None:
    await put(broker, *(entry(name, group=group, queue=queue) for name in names))


async def claim(broker: Store, rule: GroupPolicy = NOW, *queues: str) -> GroupBatch:
    [batch] = (await broker.claim_groups(queues or ["default"], rule, 10)).batches
    return batch


def names(batch: GroupBatch) -> list[str]:
    return [message.id for message in batch.messages]


async def test_rule_11_a_group_is_ripe_after_the_grace_period_without_new_members(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    clock.advance(5)
    await members(broker, "b")
    clock.advance(9)
    assert await broker.claim_groups(["default"], GroupRule(grace=10), 9) == ([], clock.now() + 1)
    clock.advance(1)
    found = await broker.claim_groups(["default"], GroupRule(grace=10), 9)
    assert [names(batch) for batch in found.batches] == [["a", "b"]]
    assert found.next_at is None


async def test_rule_11_a_group_is_ripe_when_its_oldest_member_reaches_max_delay(
    broker: Store, clock: FakeClock
) -> None:
    rule = GroupRule(grace=100, max_delay=10)
    await members(broker, "a")
    clock.advance(9)
    await members(broker, "b")
    assert await broker.claim_groups(["default"], rule, 9) == ([], clock.now() + 1)
    clock.advance(1)
    assert names(await claim(broker, rule)) == ["a", "b"]


async def test_rule_11_a_group_is_ripe_when_it_reaches_max_size(broker: Store, clock: FakeClock) -> None:
    rule = GroupRule(grace=100, max_size=3)
    await members(broker, "a", "b")
    assert (await broker.claim_groups(["default"], rule, 9)).batches == []
    clock.advance(1)
    await members(broker, "c")
    assert names(await claim(broker, rule))[-1] == "c"


async def test_rule_11_a_large_group_is_claimed_in_several_batches_oldest_first(
    broker: Store, clock: FakeClock
) -> None:
    for name in "zyxwv":
        await members(broker, name)
        clock.advance(1)
    found = await broker.claim_groups(["default"], GroupRule(grace=100, max_size=2), 9)
    assert [names(batch) for batch in found.batches] == [["z", "y"], ["x", "w"]]
    assert found.next_at == clock.now() - 1 + 100
    assert len({batch.id for batch in found.batches}) == 2


async def test_rule_11_at_most_limit_batches_are_claimed(broker: Store) -> None:
    for group in ("g1", "g2", "g3"):
        await members(broker, f"member of {group}", group=group)
    first = (await broker.claim_groups(["default"], NOW, 2)).batches
    second = (await broker.claim_groups(["default"], NOW, 2)).batches
    assert (len(first), len(second)) == (2, 1)
    assert {batch.group for batch in first + second} == {"g1", "g2", "g3"}


async def test_rule_11_only_groups_of_the_given_queues_are_claimed(broker: Store) -> None:
    await members(broker, "a", queue="one")
    await members(broker, "a", queue="two")
    batch = await claim(broker, NOW, "two", "ghost")
    assert (batch.queue, batch.group, names(batch)) == ("two", "news", ["a"])
    assert [group.size for group in await broker.groups("one")] == [1]
    assert await broker.claim_groups([], NOW, 9) == ([], None)


async def test_rule_11_a_claim_lasts_two_minutes(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a", "b")
    batch = await claim(broker)
    assert batch.expires_at == clock.now() + BATCH_LEASE
    assert await broker.claim_groups(["default"], NOW, 9) == ([], None)


async def test_rule_1_claimed_members_are_aggregating_and_cannot_be_moved(broker: Store) -> None:
    # Given a claimed batch
    await members(broker, "a", "b")
    batch = await claim(broker)
    refs = [message.ref for message in batch.messages]
    before = await snapshot(broker)
    # Then its members are listed and counted, but cannot be moved
    assert sorted(await ids(broker, TaskState.AGGREGATING)) == ["a", "b"]
    [stats] = await broker.stats(["default"])
    assert stats.aggregating == 2
    for action in Action:
        assert await broker.move(action, refs) == [Moved.WRONG_STATE] * 2
    assert await snapshot(broker) == before


async def test_rule_11_a_member_that_joins_after_the_claim_waits_for_the_next_batch(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a", "b")
    first = await claim(broker)
    await members(broker, "c")
    assert [group.size for group in await broker.groups("default")] == [1]
    second = await claim(broker)
    assert (sorted(names(first)), names(second)) == (["a", "b"], ["c"])


async def test_rule_11_merging_replaces_all_members_by_one_task(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a", "b", "c")
    batch = await claim(broker)
    merged = entry("digest", payload=b"[1,2,3]")
    assert await broker.merge_group(batch, merged) is Admission.ACCEPTED
    assert await broker.find([message.ref for message in batch.messages]) == [None] * 3
    [stats] = await broker.stats(["default"])
    assert (stats.aggregating, stats.groups, stats.size) == (0, 0, 1)
    [lease] = await take(broker)
    assert lease.message == merged.message
    assert (stats.processed, stats.failed) == (0, 0)


async def test_rule_11_a_merged_task_may_be_scheduled_or_in_another_queue(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    merged = entry("digest", queue="digests", at=clock.now() + 60)
    assert await broker.merge_group(await claim(broker), merged) is Admission.ACCEPTED
    assert await state_of(broker, "digest", "digests") is TaskState.SCHEDULED
    assert await find_task(broker, "a") is None


async def test_rule_11_a_batch_is_merged_once(broker: Store) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    assert await broker.merge_group(batch, entry("one")) is Admission.ACCEPTED
    before = await snapshot(broker)
    assert await broker.merge_group(batch, entry("two")) is None
    assert await snapshot(broker) == before


@pytest.mark.parametrize("answer", [Admission.DUPLICATE, Admission.ID_CONFLICT])
async def test_rule_11_a_refused_merged_task_leaves_its_members_unchanged(
    broker: Store, answer: Admission
) -> None:
    # Given a claimed batch, and a task that conflicts with the merged one
    await put(broker, entry("taken", payload=b"taken", unique=600))
    await members(broker, "a", "b")
    batch = await claim(broker)
    before = await snapshot(broker)
    unique = answer is Admission.DUPLICATE
    merged = entry("digest", payload=b"taken", unique=600) if unique else entry("taken", payload=b"new")
    # When it is merged
    assert await broker.merge_group(batch, merged) is answer
    # Then nothing has changed, and the batch is still claimed
    assert await snapshot(broker) == before
    assert await broker.merge_group(batch, entry("digest")) is Admission.ACCEPTED
    assert await broker.find([message.ref for message in batch.messages]) == [None, None]


async def test_rule_11_merging_frees_the_locks_of_the_members(broker: Store) -> None:
    one = entry("a", group="news", unique=600)
    await put(broker, one)
    assert await is_locked(broker, one)
    await broker.merge_group(await claim(broker), entry("digest"))
    assert not await is_locked(broker, one)


async def test_rule_11_a_merged_task_may_hold_a_lock(broker: Store) -> None:
    await members(broker, "a")
    merged = entry("digest", payload=b"[]", unique=600)
    await broker.merge_group(await claim(broker), merged)
    assert await is_locked(broker, merged)


async def test_rule_11_a_batch_of_a_removed_queue_cannot_be_merged(broker: Store) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    await broker.remove_queue("default", force=True)
    assert await broker.merge_group(batch, entry("digest")) is None
    assert await broker.queues() == []


async def test_rule_11_groups_are_listed_with_size_and_age(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a", group="weather")
    start = clock.now()
    clock.advance(5)
    await members(broker, "b", group="weather")
    await members(broker, "c", group="news")
    listed = [(g.group, g.size, g.oldest_at, g.newest_at) for g in await broker.groups("default")]
    assert sorted(listed) == [("news", 1, start + 5, start + 5), ("weather", 2, start, start + 5)]
    assert await ids(broker, TaskState.AGGREGATING, group="weather") == ["a", "b"]
    assert sorted(await ids(broker, TaskState.AGGREGATING)) == ["a", "b", "c"]


async def test_rule_11_an_empty_group_is_not_listed(broker: Store) -> None:
    one = entry("a", group="news")
    await put(broker, one)
    await broker.move(Action.DELETE, [one.message.ref])
    assert await broker.groups("default") == []
    [stats] = await broker.stats(["default"])
    assert (stats.groups, stats.aggregating) == (0, 0)


# --- a rule for each group ------------------------------------------------------------------------


POLICY = GroupRules(
    {
        "user:": GroupRule(grace=10),
        "user:vip:": GroupRule(grace=100, max_size=2),
        "user:vip:7": GroupRule(grace=1),
        "odd *": GroupRule(grace=0.0),
    }
)


async def test_rule_11_the_longest_matching_pattern_gives_the_rule_of_a_group(
    broker: Store, clock: FakeClock
) -> None:
    # Given groups with different rules, and two without a rule
    for group in ("user:1", "user:vip:3", "user:vip:7", "odd *", "others", "use"):
        await members(broker, f"{group} a", group=group)
    # Then each is ripe by its own rule
    assert [batch.group for batch in (await broker.claim_groups(["default"], POLICY, 9)).batches] == ["odd *"]
    clock.advance(1)
    found = await broker.claim_groups(["default"], POLICY, 9)
    assert ([batch.group for batch in found.batches], found.next_at) == (["user:vip:7"], clock.now() + 9)
    await members(broker, "second", group="user:vip:3")
    found = await broker.claim_groups(["default"], POLICY, 9)
    assert [batch.group for batch in found.batches] == ["user:vip:3"]
    clock.advance(9)
    found = await broker.claim_groups(["default"], POLICY, 9)
    assert ([batch.group for batch in found.batches], found.next_at) == (["user:1"], None)
    # and those without a rule are not claimed
    clock.advance(1e6)
    assert await broker.claim_groups(["default"], POLICY, 9) == ([], None)
    assert sorted(group.group for group in await broker.groups("default")) == ["others", "use"]


# --- flushing -------------------------------------------------------------------------------------

NEVER = GroupRule(grace=1e9)


async def test_rule_11_a_flushed_group_is_ripe_at_once(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a", "b")
    await members(broker, "c", group="other")
    assert await broker.flush_group("default", "news") == 2
    assert names(await claim(broker, NEVER)) == ["a", "b"]
    assert (await broker.claim_groups(["default"], NEVER, 9)).batches == []
    # Members that join later wait by the rule
    clock.advance(1)
    await members(broker, "d")
    assert (await broker.claim_groups(["default"], NEVER, 9)).batches == []
    assert [group.size for group in await broker.groups("default")] == [1, 1]


async def test_rule_11_a_flushed_group_is_claimed_only_by_servers_with_a_rule_for_it(broker: Store) -> None:
    await members(broker, "a", group="user:1")
    await broker.flush_group("default", "user:1")
    assert await broker.claim_groups(["default"], GroupRules({"shop:": NOW}), 9) == ([], None)
    assert names(await claim(broker, GroupRules({"user:": NEVER}))) == ["a"]


async def test_rule_11_a_group_without_members_is_not_flushed(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("x"))
    assert await broker.flush_group("default", "news") == 0
    await members(broker, "a")
    assert (await broker.claim_groups(["default"], NEVER, 9)).batches == []
    with pytest.raises(QueueNotFound):
        await broker.flush_group("ghost", "news")


async def test_rule_11_removing_a_queue_deletes_its_flushes(broker: Store) -> None:
    await members(broker, "a")
    await broker.flush_group("default", "news")
    await broker.remove_queue("default", force=True)
    await members(broker, "b")
    assert (await broker.claim_groups(["default"], NEVER, 9)).batches == []


async def test_rule_11_deleting_the_flushed_members_ends_the_flush(broker: Store, clock: FakeClock) -> None:
    await members(broker, "a")
    await broker.flush_group("default", "news")
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    clock.advance(1)
    await members(broker, "b")
    assert (await broker.claim_groups(["default"], NEVER, 9)).batches == []


async def test_rule_5_flush_notifies_watches_of_the_group(broker: Store) -> None:
    await members(broker, "a")
    with broker.watch([signals.grouped("default")]) as watch:
        while await watch.wait(0.2):  # the signals of the members
            watch.clear()
        await broker.flush_group("default", "news")
        assert await is_notified(watch)


# --- large groups ---------------------------------------------------------------------------------


async def test_rule_11_a_large_group_makes_several_batches(broker: Store) -> None:
    count = 2 * BATCH_MEMBERS + 5
    await put(broker, *(entry(f"{number:05}", group="news") for number in range(count)))
    first = (await broker.claim_groups(["default"], NOW, 2)).batches
    [last] = (await broker.claim_groups(["default"], NOW, 9)).batches
    assert [len(batch.messages) for batch in [*first, last]] == [BATCH_MEMBERS, BATCH_MEMBERS, 5]
    assert len({id for batch in [*first, last] for id in names(batch)}) == count
    # All members are returned when the batches expire
    assert await broker.merge_group(last, entry("digest")) is Admission.ACCEPTED


async def test_rule_10_large_expired_batches_return_to_their_group(broker: Store, clock: FakeClock) -> None:
    count = 2 * BATCH_MEMBERS + 5
    await put(broker, *(entry(f"{number:05}", group="news") for number in range(count)))
    assert len((await broker.claim_groups(["default"], NOW, 9)).batches) == 3
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 9)
    assert [group.size for group in await broker.groups("default")] == [count]
    clock.advance(1)  # a failed group waits
    assert (
        sum(len(batch.messages) for batch in (await broker.claim_groups(["default"], NOW, 9)).batches)
        == count
    )


async def test_rule_11_max_size_is_capped_at_the_batch_limit(broker: Store) -> None:
    await put(broker, *(entry(f"{number:05}", group="news") for number in range(BATCH_MEMBERS)))
    rule = GroupRule(grace=1e9, max_size=10 * BATCH_MEMBERS)
    assert len((await claim(broker, rule)).messages) == BATCH_MEMBERS


async def test_rule_5_merging_notifies_watches_of_pending_tasks(broker: Store) -> None:
    await members(broker, "a")
    batch = await claim(broker)
    with broker.watch([signals.pending("default")]) as watch:
        await broker.merge_group(batch, entry("digest"))
        assert await is_notified(watch)
    assert (await get_task(broker, "digest")).state is TaskState.PENDING
