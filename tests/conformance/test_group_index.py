"""Rule 11 with many groups: brokers look at those that changed or are due, by the rules of each server."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.groups import GroupPolicy, GroupRule, GroupRules
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.helpers import put
from tests.conformance.test_groups import NEVER, NOW, members

#: More groups than a broker reads at once.
MANY = 450


async def many(broker: Store, *, prefix: str = "g") -> list[str]:
    """Groups with one member each."""
    groups = [f"{prefix}{number:04}" for number in range(MANY)]
    await put(broker, *(entry(f"first of {group}", group=group) for group in groups))
    return groups


async def claimed(broker: Store, policy: GroupPolicy, limit: int = 1_000) -> list[str]:
    """The groups that are ripe now, one per batch."""
    found: list[str] = []
    while True:
        batches, next_at = await broker.claim_groups(["default"], policy, limit)
        found += [batch.group for batch in batches]
        if not batches and (next_at is None or next_at > broker.clock.now()):
            return sorted(found)


async def test_rule_11_of_many_groups_the_ripe_ones_are_claimed(broker: Store, clock: FakeClock) -> None:
    rule = GroupRule(grace=100)
    groups = await many(broker)
    assert await claimed(broker, rule) == []
    clock.advance(50)
    await members(broker, "second", group=groups[7])
    await members(broker, "new", group="new")
    clock.advance(50)
    assert await claimed(broker, rule) == sorted(set(groups) - {groups[7]})
    clock.advance(49)
    assert await claimed(broker, rule) == []
    clock.advance(1)
    assert await claimed(broker, rule) == [groups[7], "new"]


async def test_rule_11_ripe_groups_are_claimed_a_few_at_a_time(broker: Store) -> None:
    groups = await many(broker)
    assert await claimed(broker, NOW, 7) == groups


async def test_rule_11_a_full_group_among_many_is_claimed_at_once(broker: Store) -> None:
    rule = GroupRule(grace=100, max_size=3)
    groups = await many(broker)
    assert await claimed(broker, rule) == []
    await members(broker, "x", "y", group=groups[400])
    assert await claimed(broker, rule) == [groups[400]]


async def test_rule_11_groups_without_a_rule_do_not_delay_others(broker: Store, clock: FakeClock) -> None:
    await many(broker, prefix="a")
    await members(broker, "x", group="z:1")
    policy = GroupRules({"z:": GroupRule(grace=10)})
    assert await claimed(broker, policy) == []
    await members(broker, "y", group="a0001")
    clock.advance(10)
    assert await claimed(broker, policy) == ["z:1"]


async def test_rule_11_servers_with_different_rules_aggregate_side_by_side(
    broker: Store, clock: FakeClock
) -> None:
    users = GroupRules({"user:": GroupRule(grace=10)})
    everything = GroupRules({"": GroupRule(grace=60), "user:": GroupRule(grace=1000)})
    await many(broker, prefix="shop:")
    for number in range(3):
        await members(broker, f"of {number}", group=f"user:{number}")
    assert await claimed(broker, everything) == await claimed(broker, users) == []
    clock.advance(5)
    await members(broker, "again", group="user:1")
    clock.advance(5)
    assert await claimed(broker, everything) == []
    assert await claimed(broker, users) == ["user:0", "user:2"]
    clock.advance(5)
    assert await claimed(broker, users) == ["user:1"]
    clock.advance(45)
    assert len(await claimed(broker, everything)) == MANY
    assert await broker.groups("default") == []


async def test_rule_11_rules_that_were_not_used_for_long_find_what_changed_since(
    broker: Store, clock: FakeClock
) -> None:
    rule = GroupRule(grace=100)
    groups = await many(broker)
    assert await claimed(broker, rule) == []
    clock.advance(1_000)
    for _ in range(3):
        await broker.sweep(["default"], 9)
    await members(broker, "late", group="late")
    await members(broker, "second", group=groups[3])
    assert await claimed(broker, rule) == sorted(set(groups) - {groups[3]})
    clock.advance(100)
    assert await claimed(broker, rule) == [groups[3], "late"]


async def test_rule_11_a_group_is_ripe_earlier_without_its_newest_member(
    broker: Store, clock: FakeClock
) -> None:
    rule = GroupRule(grace=100)
    groups = await many(broker)
    clock.advance(50)
    await members(broker, "newest", group=groups[5])
    assert await claimed(broker, rule) == []
    await broker.move(Action.DELETE, [TaskRef("default", "newest")])
    clock.advance(50)
    assert groups[5] in await claimed(broker, rule)


async def test_rule_11_one_of_many_groups_is_flushed_twice(broker: Store, clock: FakeClock) -> None:
    groups = await many(broker)
    assert await claimed(broker, NEVER) == []
    for number in range(2):
        await members(broker, f"more {number}", group=groups[9])
        await broker.flush_group("default", groups[9])
        await broker.flush_group("default", groups[9])
        assert await claimed(broker, NEVER) == [groups[9]]
        clock.advance(1)
