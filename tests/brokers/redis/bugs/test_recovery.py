"""Go's bugs in recovery, and with ids without a task, each in the situation that triggers it."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import CORRUPT_TYPE
from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.operations.leases import GO_GRACE, LeaseRepair
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Settlement
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import LAPSED, GoClient, key
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry, message, settlement
from tests.conformance.helpers import find_task, get_task, ids, put, recover, state_of, take

RIPE = GroupRule(grace=0.0)
#: Bytes that are not a message, a truncated message, and one with invalid UTF-8.
WRECKS = [b"", b"\xff\xff\xff", b"\x0a\x0demail", b"\x0a\x02\xc3\x28\x1a\x01x"]


async def quarantined(broker: RedisBroker) -> int:
    [stats] = await broker.stats(["default"])
    return stats.quarantined_total


# --- B7: ids without a task -----------------------------------------------------------------------


async def test_b07_an_id_without_a_task_is_not_dequeued_and_is_deleted(
    broker: RedisBroker, go: GoClient
) -> None:
    await put(broker, entry("a"))
    await go("RPUSH", key("pending"), "ghost")
    assert [held.message.id for held in await take(broker, 5)] == ["a"]
    assert await go.places("ghost") == []
    assert await go.task("ghost") == {}
    assert await quarantined(broker) == 1


async def test_b07_dequeue_skips_ids_without_a_task_up_to_its_limit(
    broker: RedisBroker, go: GoClient
) -> None:
    await go("LPUSH", key("pending"), *(f"ghost-{number}" for number in range(1_200)))
    await put(broker, entry("a"))
    assert [held.message.id for held in await take(broker, 1)] == ["a"]
    assert await go("EXISTS", key("pending"), key("active"), key("lease")) == 2
    assert await quarantined(broker) == 1_200


async def test_b07_ids_that_go_dequeued_without_a_task_are_swept(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given what Go leaves: an id in active and lease, and a hash with only a state
    await go("LPUSH", key("pending"), "ghost")
    await go.dequeue()
    assert await go.task("ghost") == {"state": b"active"}
    await go("SADD", "asynq:queues", "default")
    # When the lease has lapsed
    clock.advance(60)
    assert (await broker.expired(["default"], 10)).leases == []
    # Then the id and the hash are deleted
    assert await go.places("ghost") == []
    assert await go.task("ghost") == {}
    assert await quarantined(broker) == 1


@pytest.mark.parametrize("source", ["scheduled", "retry"])
async def test_b07_ids_without_a_task_are_not_forwarded(
    broker: RedisBroker, go: GoClient, clock: FakeClock, source: str
) -> None:
    await put(broker, entry("a", at=clock.now() + 1))
    await go("ZADD", key(source), int(clock.now()), "ghost")
    clock.advance(1)
    assert await broker.forward(["default"], 10) == (1, None)
    assert await ids(broker, TaskState.PENDING) == ["a"]
    assert await go.places("ghost") == []
    assert await go.task("ghost") == {}


async def test_b07_ids_without_a_task_are_not_claimed_from_a_group(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a", group="g"))
    await go("ZADD", key("g:g"), 1, "ghost")
    [batch] = (await broker.claim_groups(["default"], RIPE, 10)).batches
    assert [member.id for member in batch.messages] == ["a"]
    assert await broker.merge_group(batch, entry("merged")) is not None
    assert await ids(broker, TaskState.PENDING) == ["merged"]
    assert await go.places("ghost") == []


async def test_b07_an_id_that_is_not_text_does_not_stop_dequeue(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "ab"))
    await take(broker, 1)
    await go("RPUSH", key("pending"), b"\xff")
    await go("LPUSH", key("active"), b"\xfe")
    await go("ZADD", key("lease"), 1, b"\xfe")
    assert len(await broker.tasks(Where("default", TaskState.PENDING), Page())) == 2
    assert len(await broker.tasks(Where("default", TaskState.ACTIVE), Page())) == 2
    clock.advance(30)
    assert await recover(broker, clock) == [True]
    assert [held.message.id for held in await take(broker, 5)] == ["a", "b"]
    assert await quarantined(broker) == 2


# --- B8: active without a lease -------------------------------------------------------------------


async def test_b08_an_active_task_without_a_lease_is_recovered_when_seen_twice(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given a client that moved a task to active, and died before it wrote a lease
    await go.enqueue(message("a"))
    await go("RPOPLPUSH", key("pending"), key("active"))
    # When it is seen for the first time, nothing happens: the lease may follow
    await broker.sweep(["default"], 10)
    assert await go("ZSCORE", key("lease"), "a") is None
    # When it is seen again, it gets a lease that has lapsed, also for Go's recoverer
    clock.advance(LeaseRepair.EVERY)
    await broker.sweep(["default"], 10)
    assert await go("ZSCORE", key("lease"), "a") <= clock.now() - GO_GRACE
    # Then it is recovered like any other task
    assert await recover(broker, clock) == [True]
    assert await go.places("a") == ["pending"]
    assert (await get_task(broker, "a")).retried == 1


async def test_b08_queues_that_are_swept_in_parts_are_all_checked(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    for queue in ("one", "two"):
        await go.enqueue(message("a", queue=queue))
        await go("RPOPLPUSH", key("pending", queue), key("active", queue))
    for _ in range(2):
        await broker.sweep(["one"], 10)
        await broker.sweep(["two", "three"], 10)
        clock.advance(LeaseRepair.EVERY)
    for queue in ("one", "two"):
        assert await recover(broker, clock, queue) == [True]


async def test_b08_a_late_lease_of_an_active_task_is_kept(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await go.enqueue(message("a"))
    await go("RPOPLPUSH", key("pending"), key("active"))
    await broker.sweep(["default"], 10)
    await go("ZADD", key("lease"), int(clock.now()) + 30, "a")
    clock.advance(LeaseRepair.EVERY)
    await broker.sweep(["default"], 10)
    assert await go("ZSCORE", key("lease"), "a") == int(clock.now() - LeaseRepair.EVERY) + 30


# --- older layouts of Go ---------------------------------------------------------------------------

#: A message as Go 0.17 stores it in lists and sorted sets.
OLD_MESSAGE = (
    '{"Type":"email","Payload":{"to":1},"ID":"5e2c7a1e-6b1a-4c66-8a2b-8f3f0f2d7c11","Queue":"default","Retry":25,'
    '"Retried":0,"ErrorMsg":"","Timeout":1800,"Deadline":0,"UniqueKey":""}'
)


async def sweep_twice(broker: RedisBroker, clock: FakeClock) -> None:
    for _ in range(2):
        await broker.sweep(["default"], 10)
        clock.advance(LeaseRepair.EVERY)


async def test_a_task_of_a_go_server_before_0_22_is_left_to_it_until_its_deadline(
    broker: RedisBroker, go: GoClient, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a task that Go 0.21 runs: it keeps no lease, but the end of the task's timeout
    await go.enqueue(message("a"))
    await go("RPOPLPUSH", key("pending"), key("active"))
    await go("HSET", key("t:a"), "state", "active")
    await go("ZADD", key("deadlines"), int(clock.now()) + 1_800, "a")
    # Then it is not recovered while the deadline, and Go's grace, lie ahead
    for _ in range(2):
        await sweep_twice(broker, clock)
        clock.advance(850)
    assert (await broker.expired(["default"], 10)).leases == []
    assert await go.places("a") == ["active", "deadlines"]
    assert [record.event for record in caplog.records if record.levelname == "WARNING"] == ["old_go_server"]  # type: ignore[attr-defined]
    # When both have passed, the server is dead
    clock.advance(100)
    await sweep_twice(broker, clock)
    assert await recover(broker, clock) == [True]
    assert await go.places("a") == ["pending"]


async def test_a_message_of_go_before_0_18_is_never_dropped(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given such messages wherever that version stores them, and a task of ours
    await put(broker, entry("a", at=clock.now() + 1))
    await go("LPUSH", "asynq:{default}", OLD_MESSAGE)
    await go("LPUSH", key("active"), OLD_MESSAGE)
    for place in ("scheduled", "retry", "archived"):
        await go("ZADD", key(place), int(clock.now()), OLD_MESSAGE)
    # When they are due, lapsed, and looked at by everything that deletes ids without a task
    clock.advance(60)
    assert (await broker.forward(["default"], 10)).moved == 1
    await sweep_twice(broker, clock)
    await sweep_twice(broker, clock)
    assert (await broker.expired(["default"], 10)).leases == []
    found = [one for one in await broker.examine(fix=True) if one.queue == "default"]
    # Then ours runs, theirs are reported, and none is deleted or counted as damaged
    assert [(one.code, one.fixed) for one in found] == [("old-layout", False)]
    assert "at least 4 tasks" in found[0].sentence
    assert await go.places(OLD_MESSAGE) == ["active", "archived", "asynqio:old"]
    assert await go("LLEN", "asynq:{default}") == 1
    assert await ids(broker, TaskState.PENDING) == ["a"]
    assert await quarantined(broker) == 0


# --- B9: messages that cannot be read --------------------------------------------------------------


@pytest.mark.parametrize("wreck", WRECKS)
async def test_b09_an_unreadable_message_does_not_block_recovery(
    broker: RedisBroker, go: GoClient, clock: FakeClock, wreck: bytes
) -> None:
    # Given tasks of two queues whose server died, one of them unreadable
    await put(broker, *map(entry, "abc"), entry("d", queue="other"))
    await take(broker, 4, queues=["default", "other"])
    await go("HSET", key("t:b"), "msg", wreck)
    clock.advance(30)
    # When the lapsed leases are read
    lapsed = (await broker.expired(["default", "other"], 10)).leases
    # Then it does not block the others
    assert sorted(held.message.id for held in lapsed) == ["a", "c", "d"]
    # and is archived with its bytes in a message that Go can read, and counted
    assert await go.places("b") == ["archived"]
    assert (await go.message("b")).type == CORRUPT_TYPE
    seen = await get_task(broker, "b")
    assert (seen.state, seen.type, seen.payload or b"") == (TaskState.ARCHIVED, CORRUPT_TYPE, wreck)
    assert await quarantined(broker) == 1
    assert len((await broker.expired(["default", "other"], 10)).leases) == 3


@pytest.mark.parametrize("wreck", WRECKS)
async def test_b09_an_unreadable_message_is_not_dequeued(
    broker: RedisBroker, go: GoClient, wreck: bytes
) -> None:
    await put(broker, *map(entry, "abc"))
    await go("HSET", key("t:b"), "msg", wreck)
    assert [held.message.id for held in await take(broker, 3)] == ["a", "c"]
    assert await go.places("b") == ["archived"]
    assert await quarantined(broker) == 1


@pytest.mark.parametrize("other", [message("x"), message("a", queue="other")], ids=["id", "queue"])
async def test_b09_a_message_of_another_task_is_quarantined(
    broker: RedisBroker, go: GoClient, clock: FakeClock, other: TaskMessage
) -> None:
    # Given a message that was copied to another id: no settlement would ever find it
    await put(broker, entry("a"))
    await go("HSET", key("t:a"), "msg", encode_task(other))
    await take(broker, 1)
    # When its lease lapses
    clock.advance(60)
    assert (await broker.expired(["default"], 10)).leases == []
    # Then it is archived
    assert await go.places("a") == ["archived"]
    assert (await get_task(broker, "a")).type == CORRUPT_TYPE
    assert await quarantined(broker) == 1


# --- B26: how long a dead server's tasks wait ------------------------------------------------------


async def test_b26_our_task_is_recovered_when_its_lease_lapses(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    await take(broker, lease=30)
    clock.advance(29)
    assert (await broker.expired(["default"], 10)).leases == []
    clock.advance(1)
    assert await recover(broker, clock) == [True]
    assert await go.places("a") == ["pending"]
    assert set(await go.task("a")) == {"msg", "state", "pending_since", "asynqio:strikes"}


async def test_b26_a_go_server_gets_the_grace_of_gos_recoverer(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await go.enqueue(message("a"))
    await go.dequeue()
    ends = clock.now() + 30
    for _ in range(2):
        assert await broker.expired(["default"], 10) == ([], ends if clock.now() < ends else ends + 30)
        clock.advance(30)
    assert await recover(broker, clock) == [True]
    assert (await go.message("a")).retried == 1


async def test_b26_our_task_that_go_took_over_counts_as_gos(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given our token on a task that Go has recovered and dequeued since: Go keeps unknown fields
    await put(broker, entry("a"))
    await take(broker)
    clock.advance(61)
    await go.recover("a")
    await go.forward("a", "retry")
    await go.dequeue()
    assert "asynqio:lease" in await go.task("a")
    # Then it gets the grace of Go's recoverer
    clock.advance(59)
    assert (await broker.expired(["default"], 10)).leases == []
    clock.advance(1)
    assert await recover(broker, clock) == [True]
    assert (await get_task(broker, "a")).retried == 2


# --- B27: fencing ---------------------------------------------------------------------------------


async def test_b27_a_lease_lost_to_go_is_fenced(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    # Given a task of ours that Go has recovered, and a Go server is running
    await put(broker, entry("a", retention=60.0))
    [mine] = await take(broker)
    clock.advance(61)
    await go.recover("a")
    assert (await go.message("a")).last_error == LAPSED
    assert await broker.renew([mine], 30) == [False]
    await go.forward("a", "retry")
    assert await broker.settle([settlement(mine, now=clock.now())]) == [False]
    await go.dequeue()
    before = await go.task("a")
    # When our server settles late
    assert await broker.renew([mine], 30) == [False]
    assert await broker.settle([settlement(mine, now=clock.now())]) == [False]
    assert await broker.settle([Settlement(mine, TaskState.PENDING, mine.message)]) == [False]
    # Then nothing changes, and Go can complete the task
    assert await go.task("a") == before
    assert await go("ZSCORE", key("lease"), "a") == clock.now() + 30
    await go.finish("a")
    assert await find_task(broker, "a") is None


async def test_b27_a_lease_lost_to_another_of_our_servers_is_fenced(
    broker: RedisBroker, go: GoClient, clock: FakeClock, redis_server: RedisServer
) -> None:
    await put(broker, entry("a"))
    [mine] = await take(broker, owner="first")
    clock.advance(30)
    async with open_redis(redis_server.url, clock) as other:
        assert await recover(other, clock) == [True]
        [theirs] = await take(other, owner="second")
        assert await broker.settle([settlement(mine, now=clock.now())]) == [False]
        assert await go.places("a") == ["active", "lease"]
        assert await other.settle([settlement(theirs, now=clock.now())]) == [True]
    assert await state_of(broker, "a") is None


async def test_b27_a_task_with_a_large_payload_is_fenced(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", payload=bytes(100_000)))
    [mine] = await take(broker)
    assert await broker.renew([mine], 30) == [True]
    clock.advance(61)
    await go.recover("a")
    await go.forward("a", "retry")
    await go.dequeue()
    assert await broker.settle([settlement(mine, now=clock.now())]) == [False]
    await go.finish("a")
