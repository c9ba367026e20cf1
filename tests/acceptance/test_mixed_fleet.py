"""Two Go servers and two asynqio servers run the tasks of clients of both on one Redis.

Meanwhile servers of both kinds are killed, and Redis itself dies once. In the end every task has run, and Redis
contains only expected data.

`ASYNQIO_SOAK_TASKS=100000` is the full size. It takes long: the lease of a dead server expires after half a minute,
and the task of a dead Go server may be recovered only half a minute later.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from asynqio import BrokerUnavailable, TaskState
from asynqio.sync import Inspector
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours
from tests.interop.support.build import Programs, programs
from tests.interop.support.ours import OurClient, OurServer
from tests.interop.support.peers import GoClient, GoServer
from tests.interop.support.process import PeerError
from tests.interop.support.views import Event, GoOptions, GoServerOptions

TASKS = int(os.environ.get("ASYNQIO_SOAK_TASKS", "500"))
#: Whether to expire the leases of dead servers explicitly instead of waiting for them.
FAST = TASKS < 10_000
#: Seconds between two kills.
KILL_EVERY = 0.3 if FAST else 3.0
#: Tasks in flight per producer. The small number makes the small run last for several kills.
BATCH_SIZE = 2 if FAST else 50
#: Seconds between two tasks of a producer in the small run.
PACE = 0.04 if FAST else 0.0
QUEUES = ["default", "other"]
SETTINGS: GoServerOptions = {
    "concurrency": 10,
    "queues": dict.fromkeys(QUEUES, 1),
    "delayed_interval": 1,
    "check_interval": 1,
    "retry_delay": 1,
    "aggregate": True,
    "group_grace": 1,
    "group_max_delay": 3,
    "group_max_size": 20,
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150 + TASKS // 50)]

Client = GoClient | OurClient
Server = GoServer | OurServer


class Kind(NamedTuple):
    """A kind of task."""

    type: str
    options: GoOptions
    #: Share in twentieths.
    share: int


KINDS = [
    Kind("ok", {}, 7),
    Kind("sleep:200", {}, 5),
    Kind("ok", {"process_in": 1}, 2),
    Kind("ok", {"unique": 3600}, 2),
    Kind("ok", {"group": "g"}, 1),
    Kind("result", {"retention": 3600}, 1),
    Kind("flaky:1", {}, 1),
    Kind("fail", {"max_retry": 1}, 1),
]
MIX = [kind for kind in KINDS for _ in range(kind.share)]


def kind_of(number: int) -> Kind:
    return MIX[number % len(MIX)]


def payload_of(number: int) -> bytes:
    return f"{number}".encode()


@pytest.fixture(scope="module")
def built() -> Programs:
    return programs(print)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", aof="always") as server:
        yield server


class Fleet:
    """Servers of both kinds. A killed server is replaced by one of the same kind."""

    def __init__(self, make: list[Callable[[], Server]], redis: RedisServer) -> None:
        self._make = make
        self._redis = redis
        self.serving: list[Server] = []
        self.all: list[Server] = []
        self.kills: Counter[str] = Counter()

    async def _start(self, make: Callable[[], Server]) -> Server:
        server = make()
        await server.__aenter__()
        self.all.append(server)
        return server

    async def __aenter__(self) -> Fleet:
        self.serving = list(await asyncio.gather(*map(self._start, self._make)))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for server in self.serving:
            await server.__aexit__()

    async def kill_now_and_then(self) -> None:
        """Kill servers until cancelled."""
        while True:
            await asyncio.sleep(KILL_EVERY)
            place = random.randrange(len(self.serving))
            # A cancellation in between would change the number of servers.
            await asyncio.shield(self.replace(place))

    async def replace(self, place: int) -> None:
        victim = self.serving[place]
        self.kills[type(victim).__name__] += 1
        await victim.kill()
        self.serving[place] = await self._start(self._make[place])

    async def terminate(self) -> None:
        assert await asyncio.gather(*(server.terminate() for server in self.serving)) == [0] * 4
        self.serving = []

    def events(self, name: str) -> list[Event]:
        """The events of all servers, dead or alive."""
        return [event for server in self.all for event in server.waiting(name)]


class Producer:
    """Enqueues every second task."""

    def __init__(self, client: Client, first: int) -> None:
        self.client = client
        self.first = first
        self.accepted: set[int] = set()
        #: Tasks that may or may not be stored, because Redis died during the call.
        self.doubtful: set[int] = set()
        self.half = asyncio.Event()

    async def run(self) -> None:
        numbers = range(self.first, TASKS, 2)
        for start in range(0, len(numbers), BATCH_SIZE):
            await asyncio.gather(*map(self._enqueue, numbers[start : start + BATCH_SIZE]))
            if start >= len(numbers) / 2:
                self.half.set()
            await asyncio.sleep(PACE)

    async def _enqueue(self, number: int) -> None:
        kind = kind_of(number)
        options: GoOptions = {**kind.options, "queue": QUEUES[number // 2 % 2]}
        try:
            await self.client.enqueue(kind.type, payload_of(number), **options)
        except (PeerError, BrokerUnavailable):
            self.doubtful.add(number)
            await asyncio.sleep(0.1)
        else:
            self.accepted.add(number)


def numbers_of(events: list[Event]) -> Counter[int]:
    """The number of events per task; an event of a merged task counts for all its members."""
    payloads = [event.seen.payload or b"" for event in events]
    return Counter(int(number) for payload in payloads for number in payload.split())


def left_to_do(inspector: Inspector) -> int:
    return sum(queue.size - queue.archived - queue.completed for queue in inspector.queues())


def abandon(redis: RedisServer) -> None:
    """Expire the leases and batches of dead servers. Live servers hold none, because this is called only when no task
    makes progress."""
    long_ago = int(time.time()) - 60
    for queue in QUEUES:
        for key in (f"asynq:{{{queue}}}:lease", f"asynq:{{{queue}}}:aggregation_sets"):
            for member in redis.cli("ZRANGE", key, 0, -1):
                redis.cli("ZADD", key, "XX", long_ago, member)


async def drain(fleet: Fleet, redis: RedisServer, inspector: Inspector) -> None:
    """Wait until all tasks have ended."""
    quiet_since, seen = time.monotonic(), 0
    async with asyncio.timeout(90 if FAST else 300 + TASKS / 200):
        while await asyncio.to_thread(left_to_do, inspector):
            await asyncio.sleep(0.1)
            ended = len(fleet.events("ended"))
            if ended > seen:
                quiet_since, seen = time.monotonic(), ended
            elif FAST and time.monotonic() - quiet_since > 2:
                await asyncio.to_thread(abandon, redis)
                await fleet.replace(place=-1)  # an asynqio server: it examines all leases at its start
                quiet_since = time.monotonic()


@contextlib.asynccontextmanager
async def both_clients(go: Go, ours: Ours) -> AsyncIterator[list[Producer]]:
    async with go.client() as theirs, ours.client() as own:
        yield [Producer(theirs, 0), Producer(own, 1)]


async def kill_redis(redis: RedisServer, producer: Producer) -> None:
    """Kill Redis when half of the tasks of this producer are stored."""
    await producer.half.wait()
    await asyncio.to_thread(redis.kill)
    await asyncio.to_thread(redis.start)


async def test_servers_of_both_kinds_share_one_redis_and_are_killed(
    built: Programs, redis: RedisServer
) -> None:
    began = time.monotonic()
    go, ours = Go(built, redis.url), Ours(redis.url)

    def theirs() -> Server:
        return go.server(**SETTINGS)

    def own() -> Server:
        return ours.server(**SETTINGS)

    inspector = await asyncio.to_thread(Inspector(redis.url).open)
    try:
        async with Fleet([theirs, theirs, own, own], redis) as fleet, both_clients(go, ours) as producers:
            killing = asyncio.create_task(fleet.kill_now_and_then())
            dying = asyncio.create_task(kill_redis(redis, producers[0]))
            await asyncio.gather(*(producer.run() for producer in producers))
            await dying
            produced_in = time.monotonic() - began
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            await drain(fleet, redis, inspector)
            await fleet.terminate()
        stats = await asyncio.to_thread(inspector.queues)
        await asyncio.to_thread(inspector.servers)  # removes expired data of dead servers
        failures = await asyncio.to_thread(archived, inspector)
    finally:
        await asyncio.to_thread(inspector.close)

    accepted = {number for producer in producers for number in producer.accepted}
    stored = accepted | {number for producer in producers for number in producer.doubtful}
    started, ended = fleet.events("started"), fleet.events("ended")
    runs, ids = numbers_of(started), {event.seen.id for event in started}
    succeeded = {event.seen.id for event in ended if event.error is None}
    processed = sum(queue.processed_total for queue in stats)
    failed = sum(queue.failed_total for queue in stats)
    by_kind = Counter(kind_of(number).type for number in runs)
    kills = fleet.kills.total()
    lapsed = failed - 2 * by_kind["fail"] - by_kind["flaky:1"]
    print(
        f"\n{len(accepted)} tasks accepted in {produced_in:.0f} s, {len(stored) - len(accepted)} in doubt, "
        f"{dict(fleet.kills)} killed, Redis once; {len(ids)} tasks of their own after merging, {len(started)} "
        f"executions, {processed} processed, {failed} failed, {lapsed} of that by the death of a server; "
        f"{time.monotonic() - began:.0f} s in all"
    )

    assert accepted <= runs.keys() <= stored, "every task ran that was accepted"
    # A task succeeds once, however often it runs: a second result is rejected or finds no task. Attempts that did not
    # succeed count as failed: each attempt that ended, and each that was lost with its server.
    assert processed - failed == len(succeeded)
    # Each "fail" fails twice, each "flaky" once; the death of a server may be one of these failures. Additional
    # failures were in flight at a kill.
    assert 0 <= lapsed <= kills * SETTINGS["concurrency"]
    repeated = len(started) - len(ids) - by_kind["fail"] - by_kind["flaky:1"]
    assert repeated <= kills * SETTINGS["concurrency"]
    assert {payload_of(number) for number in runs if kind_of(number).type == "fail"} == failures
    await asyncio.to_thread(check_nothing_is_left, redis, by_kind["fail"], by_kind["result"])


def archived(inspector: Inspector) -> set[bytes]:
    """The payloads of archived tasks, all with the same error."""
    found = [info for queue in QUEUES for info in inspector.tasks(queue, TaskState.ARCHIVED, size=TASKS)]
    assert {info.type for info in found} == {"fail"}
    return {info.payload or b"" for info in found}


def check_nothing_is_left(redis: RedisServer, archived: int, completed: int) -> None:
    """Check that Redis contains only expected keys."""
    keys: set[str] = set(redis.cli("KEYS", "*"))
    today = {key.rpartition(":")[2] for key in keys if ":processed:" in key}
    assert len(today) in (1, 2), "the day may have ended"
    expected = {"asynq:queues"}
    kept = Counter[str]()
    for queue in QUEUES:
        prefix = f"asynq:{{{queue}}}:"
        expected |= {prefix + name for name in ("processed", "failed", "archived", "completed")}
        expected |= {f"{prefix}{name}:{day}" for name in ("processed", "failed") for day in today}
        # Of asynqio: recent groups, because Go may leave one unlisted, and the rules that servers used lately.
        expected |= {f"{prefix}asynqio:{name}" for name in ("groups", "group_rules")}
        for state in ("archived", "completed"):
            ids = redis.cli("ZRANGE", f"{prefix}{state}", 0, -1)
            kept[state] += len(ids)
            expected |= {f"{prefix}t:{id}" for id in ids}
    assert kept == {"archived": archived, "completed": completed}
    # The info of killed servers expires: after 15 s for Go, a minute later for asynqio.
    fading = {key for key in keys if key.startswith(("asynq:servers", "asynq:workers", "asynqio:servers"))}
    for key in fading:
        if key in ("asynq:servers", "asynq:workers"):
            assert not redis.cli("ZRANGEBYSCORE", key, int(time.time()) + 16, "+inf")
        else:
            assert redis.cli("TTL", key) in {-2, *range(76)}, key
    calls = {key for key in keys if ":asynqio:call:" in key}
    for key in calls:
        assert redis.cli("TTL", key) in {-2, *range(601)}, key
    assert keys - expected - fading - calls == set()
