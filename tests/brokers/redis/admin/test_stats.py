"""The cost of statistics on Redis, and the precision of the estimate."""

from __future__ import annotations

from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.info import FRONT, GROUPS_SUMMED
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import aborted, entry
from tests.conformance.helpers import put, take

#: The number of groups if every user has one.
MANY = 100_000


async def fill(go: GoClient, groups: int, members: int) -> None:
    """Groups as Go's clients leave them, without their tasks."""
    await go("SADD", "asynq:queues", "default")
    for start in range(0, groups, 5_000):
        names = [f"user-{number}" for number in range(start, min(start + 5_000, groups))]
        async with go.client.pipeline(transaction=False) as pipe:
            pipe.sadd(key("groups"), *names)
            for name in names:
                pipe.zadd(key(f"g:{name}"), {f"{name}-{number}": number for number in range(members)})
            await pipe.execute()


async def commands(go: GoClient) -> dict[str, int]:
    """The number of calls of each command since CONFIG RESETSTAT."""
    stats = await go.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): figures["calls"] for name, figures in stats.items()}


async def test_the_cost_of_100000_groups_equals_that_of_100(broker: RedisBroker, go: GoClient) -> None:
    # Given very many groups
    await fill(go, MANY, 2)
    await broker.stats(["default"])
    # When the statistics are read
    await go("CONFIG", "RESETSTAT")
    [stats] = await broker.stats(["default"])
    called = await commands(go)
    # Then Redis has read a hundred of them, all of which have two members
    assert called["zcard"] <= GROUPS_SUMMED + 10
    assert sum(called.values()) < GROUPS_SUMMED + 50
    assert "smembers" not in called
    assert (stats.aggregating, stats.groups, stats.estimated) == (2 * MANY, MANY, True)


async def test_up_to_100_groups_are_counted_exactly(broker: RedisBroker, go: GoClient) -> None:
    await fill(go, GROUPS_SUMMED, 3)
    await go("SADD", key("groups"), "empty")
    await go("SREM", key("groups"), "user-0")
    [stats] = await broker.stats(["default"])
    assert (stats.aggregating, stats.groups, stats.estimated) == (
        3 * GROUPS_SUMMED - 3,
        GROUPS_SUMMED - 1,
        False,
    )


async def test_all_tasks_handed_back_to_the_front_are_read(broker: RedisBroker, clock: FakeClock) -> None:
    start = clock.now()
    await put(broker, *(entry(f"back-{number}") for number in range(300)))
    held = await take(broker, 300)
    clock.advance(10)
    await put(broker, entry("waits"))
    clock.advance(10)
    for lease in held:
        await broker.settle([aborted(lease, clock.now())])
    [stats] = await broker.stats(["default"])
    assert stats.oldest_pending_at == start + 10


async def test_an_ordinary_queue_is_not_read_to_its_end(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    for number in range(50):
        await put(broker, entry(str(number)))
        clock.advance(1)
    await go("CONFIG", "RESETSTAT")
    await broker.stats(["default"])
    assert (await commands(go))["hget"] <= 4


async def test_ids_without_a_task_and_tasks_of_go_do_not_hide_the_oldest(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    start = clock.now()
    await put(broker, entry("a"))
    for number in range(FRONT // 100):
        await go("RPUSH", key("pending"), f"ghost-{number}")
    clock.advance(7)
    [stats] = await broker.stats(["default"])
    assert (stats.oldest_pending_at, stats.latency) == (start, 7.0)
