"""The cost of many groups: scripts look at what changed, at what is due, or at a page."""

from __future__ import annotations

from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.groups import GroupRule, GroupRules
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef
from asynqio.testing import FakeClock
from tests.brokers.redis.operations.test_large_groups import short_commands
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import entry, message
from tests.conformance.helpers import put

GROUPS = 5_000
RULE = GroupRule(grace=100, max_size=3)


async def put_groups(broker: RedisBroker) -> None:
    await broker.enqueue([entry(f"{number:05}", group=f"g{number:05}") for number in range(GROUPS)])


async def test_a_new_member_costs_the_same_whatever_the_number_of_groups(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put_groups(broker)
    async with short_commands(go):
        assert (await broker.claim_groups(["default"], RULE, 10)).batches == []
    # When members join two of them
    await put(broker, entry("x", group="g00001"), entry("y", group="g04000"))
    await go("CONFIG", "RESETSTAT")
    assert (await broker.claim_groups(["default"], RULE, 10)).batches == []
    # Then those two are looked at
    assert await go.calls("zcard") == 2
    # and when none joins, none
    await go("CONFIG", "RESETSTAT")
    assert (await broker.claim_groups(["default"], RULE, 10)).batches == []
    assert await go.calls("zcard") == 0


async def test_asking_for_groups_by_name_costs_the_same_whatever_the_number_of_groups_and_policies(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given many groups, of which some changed, and a policy for each of 200
    await put_groups(broker)
    policies = [GroupRules({f"g{number:05}": RULE}, exact=True) for number in range(200)]
    await go("CONFIG", "RESETSTAT")
    # When each policy is asked for
    for policy in policies:
        assert await broker.claim_groups(["default"], policy, 10) == ([], clock.now() + 100)
    # Then each call is one script that reads the members of one group
    assert await go.calls("evalsha") == 200
    assert await go.calls("zcard") == 200
    assert await go.calls("zrange") == 400
    assert await go.calls("sscan", "smembers", "zadd", "hset") == 0
    # and keeps nothing that a new member has to update
    assert [name for name in await go.names() if "due" in name or "rules" in name] == []
    await go("CONFIG", "RESETSTAT")
    await put(broker, entry("x", group="g00001"))
    assert await go.calls("zadd") == 2
    # Many groups of one policy are read in parts
    await go("CONFIG", "RESETSTAT")
    everything = GroupRules({f"g{number:05}": RULE for number in range(GROUPS)}, exact=True)
    async with short_commands(go):
        assert (await broker.claim_groups(["default"], everything, 10)).batches == []
    assert await go.calls("evalsha") == GROUPS / 100
    assert await go.calls("zcard") == GROUPS


async def test_a_member_that_go_adds_to_a_named_group_is_found_at_once(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put_groups(broker)
    for id in ("x", "y"):
        await go.add_to_group(message(id, group="g03333"))  # is full now
    [batch] = (await broker.claim_groups(["default"], GroupRules({"g03333": RULE}, exact=True), 10)).batches
    assert sorted(one.id for one in batch.messages) == ["03333", "x", "y"]


async def test_a_member_that_go_adds_to_one_of_many_groups_is_found(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put_groups(broker)
    await broker.claim_groups(["default"], RULE, 10)
    for id in ("x", "y"):
        await go.add_to_group(message(id, group="g03333"))  # is full now
    await go.add_to_group(message("z", group="new"))
    found = []
    for _ in range(GROUPS // 400 + 2):
        clock.advance(1)
        async with short_commands(go):
            claimed = await broker.claim_groups(["default"], RULE, 10)
        found += [batch.group for batch in claimed.batches]
        assert claimed.next_at is not None
        assert claimed.next_at <= clock.now() + 1
    assert found == ["g03333"]
    clock.advance(100)
    groups = set()
    while batches := (await broker.claim_groups(["default"], RULE, 100)).batches:
        groups |= {batch.group for batch in batches}
    assert "new" in groups


async def test_a_sweep_reads_names_of_groups_by_the_page(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put_groups(broker)
    async with short_commands(go):
        await broker.sweep(["default"], 10)
    # Go takes a member out of the listing (B3): a later page lists it again
    await go("SREM", key("groups"), "g02222")
    for _ in range(3):
        await broker.sweep(["default"], 10)
    assert await go("SISMEMBER", key("groups"), "g02222")


async def test_names_of_empty_groups_are_forgotten(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given groups whose members are deleted, and one that gets a member later
    await put_groups(broker)
    await put(broker, entry("later", group="later", at=clock.now() + 86_400), entry("kept", group="kept"))
    await broker.claim_groups(["default"], RULE, 10)
    refs = [TaskRef("default", f"{number:05}") for number in range(GROUPS)]
    await broker.move(Action.DELETE, refs)
    assert await go("SMEMBERS", key("groups")) == {b"later", b"kept"}
    # When they have been empty for some minutes
    clock.advance(660)
    for _ in range(2):
        async with short_commands(go):
            await broker.sweep(["default"], 10)
    # Then nothing is left of them
    assert sorted(await go("ZRANGE", key("asynqio:groups"), 0, -1)) == [b"kept", b"later"]
    assert await go("SMEMBERS", key("groups")) == {b"later", b"kept"}
    assert [name for name in await go.names() if "due" in name or "rules" in name] == []


async def test_a_sweep_frees_all_lapsed_locks(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    count = 5_000
    await broker.enqueue(
        [entry(f"{number}", payload=b"%d" % number, unique=10.0, until="expired") for number in range(count)]
    )
    assert await go("ZCARD", key("asynqio:locks")) == count
    clock.advance(10)
    async with short_commands(go):
        await broker.sweep(["default"], 10)
    assert await go("ZCARD", key("asynqio:locks")) == 0


async def test_a_sweep_trims_all_archives_in_short_steps(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given several archives that are far too long, as another implementation leaves them
    queues = [f"q{number}" for number in range(10)]
    await put(broker, *(entry("first", queue=queue) for queue in queues))
    for queue in queues:
        now = int(clock.now())
        pairs = [part for number in range(11_000) for part in (now - number, f"{queue}-{number}")]
        await go("ZADD", f"asynq:{{{queue}}}:archived", *pairs)
    async with short_commands(go):
        await broker.sweep(queues, 10)
    for queue in queues:
        assert await go("ZCARD", f"asynq:{{{queue}}}:archived") <= broker.archive_limit
