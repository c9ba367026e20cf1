"""Machines whose clocks differ: leases follow the clock of Redis."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter

import pytest

from asynqio import App
from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.brokers.redis.operations import leases
from asynqio.brokers.redis.operations.leases import CHECK_AGAIN
from asynqio.clock import SystemClock
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry, server_info
from tests.conformance.helpers import put, recover, take
from tests.runtime.waiting import within

#: A lease in seconds, and how far clocks are apart: 72 % of it.
LEASE = 30.0
APART = 0.72 * LEASE


class OtherMachine:
    """The clock of a machine that is set wrong by `ahead` seconds."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._back = 0.0

    def now(self) -> float:
        return SystemClock.now() + self.ahead

    def monotonic(self) -> float:
        return SystemClock.monotonic() - self._back

    def go_back(self, seconds: float) -> None:
        """Move both clocks back: Redis is ahead of them, as after its clock was set."""
        self.ahead -= seconds
        self._back += seconds


def other_machine(server: RedisServer, ahead: float) -> RedisBroker:
    return open_redis(server.url, OtherMachine(ahead))


@pytest.mark.parametrize("apart", [APART, -APART, 86_400.0, -86_400.0])
async def test_a_held_lease_has_expired_by_no_clock(redis_server: RedisServer, apart: float) -> None:
    async with other_machine(redis_server, -apart) as holder, other_machine(redis_server, apart) as observer:
        await put(holder, entry("a"))
        [lease] = await take(holder, lease=LEASE)
        for _ in range(2):
            assert lease.expires_at == pytest.approx(holder.clock.now() + LEASE, abs=2)
            found, next_at = await observer.expired(["default"], 10)
            assert found == []
            assert next_at == pytest.approx(observer.clock.now() + LEASE, abs=2)
            assert await holder.renew([lease], LEASE) == [True]
        assert await holder.renew_owner("server-1", LEASE) == 1
        assert (await observer.expired(["default"], 10)).leases == []


async def test_each_master_of_a_cluster_has_its_clock(redis_cluster: RedisCluster) -> None:
    queues = ["default", "other", "third"]
    async with (
        open_redis(redis_cluster.url, OtherMachine(-APART)) as holder,
        open_redis(redis_cluster.url, OtherMachine(APART)) as observer,
    ):
        await put(holder, *(entry(name, queue=name) for name in queues))
        held = await take(holder, len(queues), queues=queues, lease=LEASE)
        assert len(held) == len(queues)
        assert (await observer.expired(queues, 10)).leases == []
        assert await holder.renew(held, LEASE) == [True] * len(queues)
        assert (await observer.expired(queues, 10)).leases == []
        await holder.beat(server_info("holder"), 15)
        assert [info.id for info in await observer.servers()] == ["holder"]


@pytest.mark.parametrize("apart", [5.0, -5.0])
async def test_a_lease_of_a_dead_server_expires_in_its_time(redis_server: RedisServer, apart: float) -> None:
    async with other_machine(redis_server, apart) as dead, other_machine(redis_server, -apart) as observer:
        await put(dead, entry("a"))
        await take(dead, lease=1.0)
        _, next_at = await observer.expired(["default"], 10)
        assert next_at is not None
        assert 0 < next_at - observer.clock.now() <= 2
        await asyncio.sleep(next_at - observer.clock.now() + 0.01)  # the lease ends by the clock of Redis
        [lease] = (await observer.expired(["default"], 10)).leases
        assert lease.expires_at == pytest.approx(next_at)
        assert await recover(observer, observer.clock) == [True]  # type: ignore[arg-type]


async def test_tasks_run_once_on_servers_whose_clocks_differ(redis_server: RedisServer) -> None:
    lease, tasks = 2.0, range(8)
    runs: Counter[int] = Counter()
    done = asyncio.Event()

    async def work(number: int) -> None:
        runs[number] += 1
        await asyncio.sleep(2 * lease)  # longer than the lease
        if len(runs) == len(tasks):
            done.set()

    async with contextlib.AsyncExitStack() as stack:
        for ahead in (0.72 * lease, -0.72 * lease):
            app = App(await stack.enter_async_context(other_machine(redis_server, ahead)))
            await stack.enter_async_context(app)
            task = app.task("work")(work)
            await app.enqueue_many(task.task(number) for number in tasks if (number % 2 == 0) == (ahead > 0))
            server = app.server(concurrency=len(tasks) // 2, lease=lease, lease_keeper=False)
            await stack.enter_async_context(server.running(app.mux))
        await within(done.wait())
    assert runs == dict.fromkeys(tasks, 1)


async def test_setting_the_clock_of_redis_expires_no_lease_at_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holders need time to renew. A suspended machine, whose monotonic clock stood still, sees the same."""
    monkeypatch.setattr(
        leases, "SKEW_AGE", -math.inf
    )  # measure each time: the clock of this machine goes back
    clock = OtherMachine()
    async with open_redis(redis_server.url, clock) as broker:
        await put(broker, entry("a"))
        [held] = await take(broker, lease=1.0)
        clock.go_back(3600.0)
        found, next_at = await broker.expired(["default"], 10)
        assert found == []
        assert next_at == pytest.approx(clock.now() + CHECK_AGAIN, abs=1)
        assert [record.event for record in caplog.records] == ["server_clock_changed"]  # type: ignore[attr-defined]
        # The holder's next renewal follows the clock of Redis.
        assert await broker.renew([held], LEASE) == [True]
        assert held.expires_at == pytest.approx(clock.now() + LEASE, abs=2)


async def test_setting_the_clock_of_this_machine_changes_no_lease(redis_server: RedisServer) -> None:
    clock = OtherMachine()
    async with open_redis(redis_server.url, clock) as broker, other_machine(redis_server, 0.0) as other:
        await put(broker, entry("a"), entry("b"))
        [first] = await take(broker, lease=LEASE)
        clock.ahead = 3600.0
        [second] = await take(broker, lease=LEASE)
        assert await broker.renew([first], LEASE) == [True]
        for lease in (first, second):
            assert lease.expires_at == pytest.approx(clock.now() + LEASE, abs=2)
        for observer in (broker, other):
            found, next_at = await observer.expired(["default"], 10)
            assert found == []
            assert next_at == pytest.approx(observer.clock.now() + LEASE, abs=2)


async def test_a_wrong_clock_is_logged_once_and_reported(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with other_machine(redis_server, APART) as wrong, other_machine(redis_server, 0.0) as right:
        for _ in range(2):
            await take(wrong, lease=LEASE)
            await take(right, lease=LEASE)
        [record] = caplog.records
        assert (record.event, record.seconds) == ("clock_skew", pytest.approx(APART, abs=1))  # type: ignore[attr-defined]
        # The info of its server is valid for everyone, and says so.
        await wrong.beat(server_info("wrong"), 15)
        for observer in (wrong, right):
            [info] = await observer.servers()
            assert info.clock_skew == pytest.approx(-APART, abs=1)
        codes = {one.sentence for one in await right.examine() if one.code == "clock-skew"}
        assert len(codes) == 1
        assert "server wrong on" in codes.pop()
