"""Rule 11 with exact rules: only the named groups are claimed."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Claimed
from asynqio.core.groups import BATCH_MEMBERS, GroupPolicy, GroupRule, GroupRules, failed_again
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import put, snapshot
from tests.conformance.test_group_index import claimed, many
from tests.conformance.test_groups import NEVER, NOW, claim, members, names


def only(group: str, rule: GroupRule = NOW) -> GroupPolicy:
    """The policy that names one group."""
    return GroupRules({group: rule}, exact=True)


async def test_rule_11_an_exact_rule_matches_no_other_group(broker: Store) -> None:
    for group in ("daily", "daily2", "dail", "daily:x", "DAILY", "daily "):
        await members(broker, f"of {group}", group=group)
    batch = await claim(broker, only("daily"))
    assert (batch.group, names(batch)) == ("daily", ["of daily"])
    assert await broker.claim_groups(["default"], only("daily"), 9) == ([], None)
    assert (await claim(broker, only("daily "))).group == "daily "
    assert len(await broker.groups("default")) == 4


async def test_rule_11_a_group_with_an_empty_name_has_no_members(broker: Store) -> None:
    await members(broker, "a")
    assert await broker.claim_groups(["default"], only(""), 9) == ([], None)
    assert await broker.claim_groups(["default"], GroupRules({}, exact=True), 9) == ([], None)


async def test_rule_11_a_named_group_is_ripe_by_its_rule(broker: Store, clock: FakeClock) -> None:
    rule = GroupRule(grace=10, max_delay=15, max_size=3)
    start = clock.now()
    await members(broker, "a")
    assert await broker.claim_groups(["default"], only("news", rule), 9) == ([], start + 10)
    clock.advance(9)
    await members(broker, "b")
    assert await broker.claim_groups(["default"], only("news", rule), 9) == ([], start + 15)
    clock.advance(6)
    assert names(await claim(broker, only("news", rule))) == ["a", "b"]
    await members(broker, "c", "d", "e")
    assert sorted(names(await claim(broker, only("news", rule)))) == ["c", "d", "e"]


async def test_rule_11_several_groups_are_claimed_each_by_its_rule(broker: Store, clock: FakeClock) -> None:
    policy = GroupRules(
        {"a": GroupRule(grace=5), "b": GroupRule(grace=20), "ghost": NOW, "c {x}": NOW}, exact=True
    )
    for queue in ("one", "two"):
        for group in ("a", "b", "ab", "c {x}"):
            await members(broker, f"of {group}", group=group, queue=queue)
    queues = ["one", "nowhere", "two", "one"]
    found = await broker.claim_groups(queues, policy, 9)
    assert sorted((batch.queue, batch.group) for batch in found.batches) == [
        ("one", "c {x}"),
        ("two", "c {x}"),
    ]
    assert found.next_at == clock.now() + 5
    clock.advance(5)
    found = await broker.claim_groups(queues, policy, 9)
    assert sorted((batch.queue, batch.group) for batch in found.batches) == [("one", "a"), ("two", "a")]
    assert found.next_at == clock.now() + 15


async def test_rule_11_many_named_groups_are_claimed_a_few_at_a_time(broker: Store) -> None:
    groups = await many(broker)
    policy = GroupRules(dict.fromkeys(groups[::2], NOW), exact=True)
    first = await broker.claim_groups(["default"], policy, 7)
    assert len(first.batches) == 7
    assert first.next_at is not None
    assert first.next_at <= broker.clock.now()
    rest = await claimed(broker, policy, 7)
    assert sorted([*rest, *(batch.group for batch in first.batches)]) == groups[::2]


async def test_rule_11_a_large_named_group_is_claimed_in_several_batches(broker: Store) -> None:
    await put(broker, *(entry(f"{number:05}", group="news") for number in range(BATCH_MEMBERS + 3)))
    found = await broker.claim_groups(["default"], only("news"), 9)
    assert sorted(len(batch.messages) for batch in found.batches) == [3, BATCH_MEMBERS]


@pytest.mark.parametrize("other", [GroupRule(grace=50), GroupRules({"d": GroupRule(grace=50)})])
async def test_rule_11_exact_rules_and_others_aggregate_side_by_side(
    broker: Store, clock: FakeClock, other: GroupPolicy
) -> None:
    await members(broker, "a", group="daily")
    await members(broker, "b", group="daily2")
    assert await broker.claim_groups(["default"], other, 9) == ([], clock.now() + 50)
    assert (await claim(broker, only("daily"))).group == "daily"
    await members(broker, "c", group="daily")
    clock.advance(49)
    assert await broker.claim_groups(["default"], other, 9) == ([], clock.now() + 1)
    clock.advance(1)
    assert await claimed(broker, other) == ["daily", "daily2"]
    assert await broker.claim_groups(["default"], only("daily"), 9) == ([], None)


async def test_rule_11_a_named_group_that_failed_waits_unless_it_is_flushed(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    batch = await claim(broker, only("news"))
    failure = failed_again(None, "broken", clock.now(), batch.oldest_at)
    await broker.return_batch(batch, failure)
    assert await broker.claim_groups(["default"], only("news"), 9) == ([], failure.retry_at)
    await broker.flush_group("default", "news")
    assert (await claim(broker, only("news", NEVER))).failure == failure


async def test_rule_11_a_flush_of_a_named_group_ends_with_its_members(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    await broker.flush_group("default", "news")
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    clock.advance(1)
    await members(broker, "b")
    assert (await broker.claim_groups(["default"], only("news", NEVER), 9)).batches == []


async def test_rule_11_asking_for_a_group_that_is_not_ripe_changes_nothing(
    broker: Store, clock: FakeClock
) -> None:
    await members(broker, "a")
    before = await snapshot(broker)
    for group in ("news", "new", "ghost"):
        assert (await broker.claim_groups(["default", "ghost"], only(group, NEVER), 9)).batches == []
    assert await broker.claim_groups([], only("news"), 9) == Claimed([], None)
    assert await snapshot(broker) == before
    assert await broker.queues() == ["default"]
