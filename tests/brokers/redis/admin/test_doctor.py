"""The doctor's findings on Redis, and its repairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.brokers.redis.doctor.server_checks import judge_info
from asynqio.clock import SystemClock
from asynqio.core.findings import Finding, Severity
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.operations.test_transfer import A, Dies
from tests.brokers.redis.support.go_client import GoClient, key
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry, message, server_info
from tests.conformance.helpers import ids, put, state_of, take

#: The test clock is years behind, and the server does not persist data.
EXPECTED = {"no-persistence", "clock-skew"}


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Dies:
    return Dies(monkeypatch)


async def find_task(broker: RedisBroker, *, fix: bool = False) -> list[Finding]:
    found = await broker.examine(fix=fix)
    return [one for one in found if one.code not in EXPECTED]


async def only(broker: RedisBroker, code: str, text: str) -> None:
    """The only finding: reported, not changed, repaired on request, then no longer reported."""
    for fix in (False, False, True):
        [finding] = await find_task(broker, fix=fix)
        assert (finding.code, finding.fixable, finding.fixed) == (code, True, fix)
        assert text in finding.sentence
        assert finding.queue == "default"
    assert await find_task(broker) == []


async def test_ids_without_a_task_are_deleted_from_every_list_and_set(
    broker: RedisBroker, go: GoClient
) -> None:
    await put(broker, entry("a"), entry("b", group="g"))
    await go("LPUSH", key("pending"), "ghost-1")
    await go("LPUSH", key("active"), "ghost-2")
    await go("ZADD", key("lease"), 1, "ghost-2")
    for place in ("scheduled", "retry", "archived", "completed"):
        await go("ZADD", key(place), 1, f"ghost-{place}")
    await only_ghosts(broker)
    assert await ids(broker, TaskState.PENDING) == ["a"]
    assert await go("ZCARD", key("lease")) == 0
    [stats] = await broker.stats(["default"])
    assert (stats.size, stats.quarantined_total) == (2, 6)


async def only_ghosts(broker: RedisBroker) -> None:
    # The active id has a lease, so there is no other finding.
    await only(broker, "ghosts", "6 ids without a task")


async def test_tasks_in_no_list_or_set_are_archived(broker: RedisBroker, go: GoClient) -> None:
    # Given a hash that Go's inspector leaked, and a task whose id was lost
    await put(broker, *(entry(str(number)) for number in range(50)))
    await go.archive_many(["leaked"], 5)
    await go("ZREM", key("archived"), "leaked")
    await go("LREM", key("pending"), 0, "7")
    # Then they are found, and archived for an operator
    await only(broker, "orphaned-tasks", "2 tasks of queue 'default' are in no list")
    assert sorted(await ids(broker, TaskState.ARCHIVED)) == ["7", "leaked"]
    assert len(await ids(broker, TaskState.PENDING)) == 49
    await broker.move(Action.RUN, [TaskRef("default", "7")])
    assert await state_of(broker, "7") is TaskState.PENDING


async def test_active_tasks_without_a_lease_get_a_lapsed_one(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    await take(broker)
    await go("ZREM", key("lease"), "a")
    await only(broker, "no-lease", "1 active tasks")
    assert [lease.message.id for lease in (await broker.expired(["default"], 10)).leases] == ["a"]


async def test_a_go_server_before_0_22_is_reported(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    await take(broker)
    await go("ZREM", key("lease"), "a")
    await go("ZADD", key("deadlines"), int(clock.now()) + 1_800, "a")
    [finding] = await find_task(broker, fix=True)
    assert (finding.code, finding.severity, finding.fixed) == ("old-go-server", Severity.WARNING, False)
    assert "1 tasks" in finding.sentence
    assert await go.places("a") == ["active", "deadlines"]


async def test_unlisted_groups_are_listed(broker: RedisBroker, go: GoClient) -> None:
    await go.add_to_group(message("a", group="g:1"))
    await go("SREM", key("groups"), "g:1")
    await only(broker, "unlisted-groups", "1 groups")
    assert [group.group for group in await broker.groups("default")] == ["g:1"]


async def test_an_unlisted_batch_is_released(broker: RedisBroker, go: GoClient) -> None:
    await go.add_to_group(message("a", group="g"))
    batch = await go.claim("g", "set-1")
    await go("ZREM", key("aggregation_sets"), batch)
    [finding] = await find_task(broker, fix=True)
    assert finding.code == "unlisted-groups"
    await broker.sweep(["default"], 10)
    assert await go.places("a") == ["g:g"]
    assert [group.group for group in await broker.groups("default")] == ["g"]


async def test_interrupted_transfers_are_completed(broker: RedisBroker, dies: Dies, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    dies.at(6, after=False)
    with pytest.raises(Exception, match="dead"):
        await broker.transfer([A], "other")
    dies.no_more()
    clock.advance(100)
    [finding] = await find_task(broker, fix=True)
    assert (finding.code, finding.queue) == ("transfers-left", "other")
    assert await ids(broker, TaskState.PENDING, "other") == ["a"]
    assert await find_task(broker) == []


async def test_locks_of_deleted_tasks_are_reported_and_kept(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a", unique=60))
    await go("SET", key("unique:x:y"), "gone", "EX", 100)
    [finding] = await find_task(broker, fix=True)
    assert (finding.code, finding.severity, finding.fixed) == ("locks-left", Severity.INFO, False)
    assert await go("EXISTS", key("unique:x:y")) == 1


async def test_a_throttle_is_not_a_finding(broker: RedisBroker) -> None:
    await put(broker, entry("a", unique=60, until="expired"))
    await broker.move(Action.DELETE, [TaskRef("default", "a")])
    assert await find_task(broker) == []


async def test_many_tasks_are_examined_in_chunks(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, *(entry(str(number)) for number in range(5_000)))
    await go("CONFIG", "RESETSTAT")
    seen: list[int] = []
    found = await broker.examine(progress=seen.append)
    assert {one.code for one in found} <= EXPECTED
    assert seen[-1] >= 10_000, "every id, and every key"
    assert await go.calls("lrange") >= 5


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that is configured as a cache."""
    with RedisServer(tmp_path / "redis", "maxmemory 100mb", "maxmemory-policy allkeys-lru") as server:
        yield server


async def test_settings_that_lose_tasks_are_reported(evicting: RedisServer) -> None:
    async with open_redis(evicting.url, SystemClock()) as broker:
        found = {one.code: one for one in await broker.examine()}
    assert set(found) == {"eviction", "no-persistence"}
    assert found["eviction"].severity is Severity.ERROR
    assert "allkeys-lru" in found["eviction"].sentence
    assert "noeviction" in found["eviction"].advice


async def test_clock_skew_is_reported(broker: RedisBroker) -> None:
    [finding] = [one for one in await broker.examine() if one.code == "clock-skew"]
    assert finding.severity is Severity.ERROR


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RedisServer]:
    """A server whose user lacks one permission."""
    users = {"worker": "~asynq* &* +@all -scan -time -config"}
    with RedisServer(tmp_path / "redis", users=users) as server:
        yield server


async def test_missing_permissions_are_reported(limited: RedisServer) -> None:
    async with open_redis(limited.url, SystemClock()) as broker:
        found = [one for one in await broker.examine() if one.code == "no-permission"]
    assert [one.sentence.split()[-1] for one in found] == ["SCAN", "TIME"]


@pytest.mark.parametrize(
    ("info", "kind", "code"),
    [
        ({"role": "slave"}, "single", "replica"),
        ({"role": "master", "connected_slaves": "0"}, "sentinel", "no-replica"),
        ({"maxmemory": "100", "used_memory": "95"}, "single", "memory-full"),
        ({"rdb_last_bgsave_status": "err"}, "single", "cannot-save"),
        ({"redis_version": "6.2.5"}, "single", "old-version"),
        ({"maxmemory_policy": "volatile-lru", "maxmemory": "0"}, "single", "eviction"),
    ],
)
def test_findings_from_info(info: dict[str, str], kind: str, code: str) -> None:
    assert [one.code for one in judge_info(info, kind)] == [code]


async def test_a_healthy_server_has_no_findings(broker: RedisBroker) -> None:
    await broker.beat(server_info(), 15)
    assert await find_task(broker) == []


async def test_a_key_of_the_wrong_type_is_reported_and_the_examination_continues(
    broker: RedisBroker, go: GoClient
) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    await go("SET", key("scheduled"), "what")
    await go("LPUSH", key("pending", "other"), "ghost")
    found = {one.queue: one for one in await find_task(broker)}
    assert {queue: one.code for queue, one in found.items()} == {
        "default": "queue-damaged",
        "other": "ghosts",
    }
    assert "WRONGTYPE" in found["default"].sentence


async def test_queues_with_similar_names_are_distinguished(broker: RedisBroker, go: GoClient) -> None:
    for name in ("a", "a}:t:b", "a}:g"):
        await put(broker, entry("x}:y", queue=name), entry(group="g}:h", queue=name))
    await go("LREM", key("pending", "a}:g"), 0, "x}:y")
    [finding] = await find_task(broker)
    assert (finding.code, finding.queue) == ("orphaned-tasks", "a}:g")
