"""The client on single servers, sentinels and clusters. Against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asynqio.brokers.redis.connection import client
from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost
from asynqio.brokers.redis.connection.topologies.cluster_slots import SLOTS, redirection, slot_of
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.url import parse
from asynqio.errors import BrokerError, BrokerUnavailable, VersionMismatch
from tests.brokers.redis.support.certificates import Certificates
from tests.brokers.redis.support.cluster import Node, RedisCluster
from tests.brokers.redis.support.sentinels import RedisSentinels
from tests.brokers.redis.support.servers import RedisServer

#: Seconds; long enough for a slow machine. Tests do not wait for it to pass.
SOON = 30.0
APPEND = Script.of("append", "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])")


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisClient]:
    redis = RedisClient(parse(url))
    await redis.open()
    try:
        async with asyncio.timeout(SOON):
            yield redis
    finally:
        await redis.close()


# --- one server -----------------------------------------------------------------------------------


async def test_commands_and_scripts(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as redis:
        assert not redis.clustered
        assert await redis.command("a", "SET", "a", 1) == b"OK"
        assert await redis.command(None, "GET", "a") == b"1"
        assert await redis.everywhere("DBSIZE") == [1]
        assert await redis.run(APPEND, ["list"], [b"\xff"]) == 1
        assert await redis.command("list", "LRANGE", "list", 0, -1) == [b"\xff"]
        with pytest.raises(RedisError, match="WRONGTYPE"):
            await redis.run(APPEND, ["a"], ["x"])


async def test_an_unknown_script_is_sent_again_with_its_text(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as redis:
        first = await asyncio.gather(*(redis.run(APPEND, ["list"], [number]) for number in range(10)))
        await to_thread(redis_server.cli, "SCRIPT", "FLUSH", "SYNC")
        second = await asyncio.gather(*(redis.run(APPEND, ["list"], [number]) for number in range(10)))
        assert sorted(first + second) == list(range(1, 21))
        assert await redis.everywhere("SCRIPT", "EXISTS", APPEND.sha) == [[1]]


async def test_a_cancelled_call_of_an_unknown_script_is_not_sent_again(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as redis:
        gone = asyncio.ensure_future(redis.run(APPEND, ["list"], ["a"]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await redis.run(APPEND, ["list"], ["b"]) == 1


async def test_a_call_is_sent_before_it_is_awaited(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as redis:
        call = redis.command("a", "SET", "a", 1)
        assert await redis.command("a", "GET", "a") == b"1"
        assert await call == b"OK"


async def test_a_server_that_is_too_old(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "OLDEST_REDIS", (99, 0))
    with pytest.raises(VersionMismatch, match=r"is version 7\.\d+\.\d+: asynqio requires 6\.2 or later"):
        await RedisClient(parse(redis_server.url)).open()


async def test_calls_before_open_and_after_close_raise(
    redis_server: RedisServer, redis_cluster: RedisCluster
) -> None:
    for url in (redis_server.url, redis_cluster.url):
        redis = RedisClient(parse(url))
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="is not open"):
                await redis.command(None, "PING")
            with pytest.raises(BrokerUnavailable, match="is not open"):
                await redis.run(APPEND, ["a"], ["b"])
            await redis.open()
            assert await redis.run(APPEND, ["list"], ["b"])
            await redis.close()


# --- the wrong kind of server ---------------------------------------------------------------------


async def test_a_cluster_node_is_rejected_as_a_single_server(redis_cluster: RedisCluster) -> None:
    with pytest.raises(BrokerError, match=r"write redis\+cluster://"):
        await RedisClient(parse(redis_cluster.urls[0])).open()


async def test_a_single_server_is_rejected_as_a_cluster(redis_server: RedisServer) -> None:
    with pytest.raises(BrokerError, match="is not a cluster: write redis://"):
        await RedisClient(parse(f"redis+cluster://127.0.0.1:{redis_server.port}")).open()


async def test_a_server_that_is_not_running(redis_server: RedisServer) -> None:
    url = "127.0.0.1:1"
    for scheme in ("redis", "redis+cluster"):
        with pytest.raises(BrokerUnavailable, match="Connection refused"):
            await RedisClient(parse(f"{scheme}://{url}?patience=0.2")).open()
    with pytest.raises(
        BrokerUnavailable, match=r"127\.0\.0\.1:1 .*no sentinel knows a running master 'main'"
    ):
        await RedisClient(parse(f"redis+sentinel://{url}/main?patience=1")).open()


# --- sentinels ------------------------------------------------------------------------------------


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    with RedisSentinels(tmp_path) as group:
        yield group


async def test_the_master_is_found_and_followed(sentinels: RedisSentinels) -> None:
    first, second = sentinels.servers
    # The first sentinel is down.
    url = sentinels.url.replace("://", "://127.0.0.1:1,")
    async with opened(f"{url}?patience=20") as redis:
        assert await redis.command("a", "SET", "a", 1) == b"OK"
        assert await redis.run(APPEND, ["list"], ["a"]) == 1
        assert await redis.command(None, "WAIT", 1, 5000) == 1
        await to_thread(sentinels.kill_master)
        agreed = asyncio.create_task(to_thread(agreement, sentinels, first))
        answer = None
        while answer is None:
            with contextlib.suppress(ReplyLost):
                answer = await redis.run(APPEND, ["list"], ["b"])
        late = time.monotonic() - await agreed
        print(f"{late:.2f} s after the sentinels agreed")
        assert late < 5
        assert answer == 2
        assert second.port == await to_thread(sentinels.master_port)
        assert await redis.command("a", "GET", "a") == b"1"


def agreement(sentinels: RedisSentinels, old: RedisServer) -> float:
    """Wait until most sentinels name another master. Returns the time."""
    while sentinels.master_port() == old.port:
        time.sleep(0.01)
    return time.monotonic()


async def test_a_master_name_unknown_to_the_sentinels(sentinels: RedisSentinels) -> None:
    with pytest.raises(BrokerUnavailable, match="knows a running master 'nobody'"):
        await RedisClient(parse(f"{sentinels.url.rpartition('/')[0]}/nobody?patience=0.5")).open()


def guard(sentinels: RedisSentinels) -> None:
    for sentinel in sentinels.sentinels:
        sentinel.cli("ACL", "SETUSER", "me", "on", ">sesame", "+@all", "&*")
        sentinel.cli("ACL", "SETUSER", "default", "off")


async def test_sentinels_with_a_password(sentinels: RedisSentinels) -> None:
    await to_thread(guard, sentinels)
    login = "sentinel_username=me&sentinel_password"
    async with opened(f"{sentinels.url}?{login}=sesame") as redis:
        assert await redis.command(None, "ECHO", "a") == b"a"
    with pytest.raises(BrokerUnavailable, match="sentinel_password=") as caught:
        await RedisClient(parse(f"{sentinels.url}?{login}=solomon&patience=0.5")).open()
    assert "solomon" not in str(caught.value)


async def test_a_sentinel_is_rejected_as_a_single_server(sentinels: RedisSentinels) -> None:
    with pytest.raises(BrokerError, match=r"write redis\+sentinel://"):
        await RedisClient(parse(sentinels.sentinels[0].url)).open()


# --- clusters -------------------------------------------------------------------------------------


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster that the test may change."""
    with RedisCluster(tmp_path) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("key", "same"),
    [("{a}b", "a"), ("x{a}y{b}", "a"), ("{ü}x", "ü"), ("a}{b}", "b"), ("{{a}}", "{a")],
)
def test_keys_with_a_tag_share_a_slot(key: str, same: str) -> None:
    assert slot_of(key) == slot_of(same)


def test_slots() -> None:
    # From the specification of Redis Cluster, and from CLUSTER KEYSLOT.
    assert slot_of("123456789") == 0x31C3
    assert slot_of("foo") == 12182
    assert slot_of("{}b") != slot_of("")
    assert slot_of("{}b") == 15817 or slot_of("{}b") != slot_of("b")


def test_redirections() -> None:
    assert redirection("MOVED 3999 10.0.0.1:6381", ("h", 1)) == (3999, ("10.0.0.1", 6381))
    assert redirection("ASK 1 ::1:6381", ("h", 1)) == (1, ("::1", 6381))
    assert redirection("MOVED 1 :6381", ("h", 1)) == (1, ("h", 6381))


async def test_slots_equal_those_of_the_server(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.url) as redis:
        for key in (
            "a",
            "{a}b",
            "{}b",
            "{a",
            "a}",
            "a{b}c",
            "ü{}x",
            "asynq:{default}:pending",
            "{}{a}",
            "}{",
        ):
            assert await redis.command(None, "CLUSTER", "KEYSLOT", key) == slot_of(key)


async def test_all_slots(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.urls[0].replace("redis:", "redis+cluster:").removesuffix("/0")) as redis:
        assert redis.clustered
        keys = {slot_of(str(number)): str(number) for number in range(200_000)}
        assert len(keys) == SLOTS
        await asyncio.gather(*(redis.command(key, "SET", key, slot) for slot, key in keys.items()))
        sizes = await redis.everywhere("DBSIZE")
        assert len(sizes) == 3
        assert sum(sizes) == SLOTS
        assert min(sizes) > SLOTS // 4
        some = list(keys.items())[::100]
        answers = await asyncio.gather(*(redis.command(key, "GET", key) for _, key in some))
        assert answers == [str(slot).encode() for slot, _ in some]


async def test_scripts_run_on_each_node_without_being_loaded(redis_cluster: RedisCluster) -> None:
    async with opened(redis_cluster.url) as redis:
        names = [f"{{{number}}}" for number in range(30)]
        assert await asyncio.gather(*(redis.run(APPEND, [name], ["a"]) for name in names)) == [1] * 30
        assert await redis.everywhere("SCRIPT", "EXISTS", APPEND.sha) == [[1]] * 3


def holder(cluster: RedisCluster, key: str) -> tuple[Node, Node]:
    """The node that serves the key's slot, and another one."""
    slot = slot_of(key)
    for first, last, (_, port, *_), *_ in cluster.nodes[0].cli("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            source = next(node for node in cluster.nodes if node.port == port)
            return source, next(node for node in cluster.nodes if node is not source)
    raise AssertionError(slot)


def begin_to_move(slot: int, source: Node, target: Node) -> None:
    target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)


def end_to_move(slot: int, target: Node, cluster: RedisCluster) -> None:
    for node in (target, *cluster.nodes):
        node.cli("CLUSTER", "SETSLOT", slot, "NODE", target.id)


async def test_a_slot_migration_is_followed(own_cluster: RedisCluster) -> None:
    key = "{q}:there"
    slot = slot_of(key)
    source, target = await to_thread(holder, own_cluster, key)
    async with opened(own_cluster.url) as redis:
        await redis.run(APPEND, [key], ["a"])
        await to_thread(begin_to_move, slot, source, target)
        # Existing keys are found at the source, new ones at the target (ASK).
        assert await redis.run(APPEND, [key], ["b"]) == 2
        news = [f"{{q}}:new-{number}" for number in range(20)]
        assert await asyncio.gather(*(redis.command(new, "INCR", new) for new in news)) == [1] * 20
        assert await redis.run(APPEND, ["{q}:new"], ["a"]) == 1
        assert await to_thread(target.cli, "CLUSTER", "COUNTKEYSINSLOT", slot) == 21
        # Keys of which some are on each node: TRYAGAIN, until the migration is complete.
        split = asyncio.ensure_future(redis.command(key, "EXISTS", key, "{q}:new"))
        await to_thread(source.cli, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        await to_thread(end_to_move, slot, target, own_cluster)
        assert await split == 2
        # Calls that are sent to the old node are redirected (MOVED).
        counts = await asyncio.gather(*(redis.run(APPEND, [key], ["c"]) for _ in range(100)))
        assert counts == list(range(3, 103))
        assert await redis.command(key, "LLEN", key) == 102


async def test_a_call_to_an_unserved_slot_fails_after_patience_seconds(own_cluster: RedisCluster) -> None:
    async with opened(f"{own_cluster.url}?patience=0.5") as redis:
        key = "{q}:a"
        source, _ = await to_thread(holder, own_cluster, key)
        await to_thread(source.cli, "CLUSTER", "DELSLOTS", slot_of(key))
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"cannot serve this now"):
            await redis.command(key, "GET", key)
        assert 0.4 <= time.monotonic() - began < 3
        await to_thread(source.cli, "CLUSTER", "ADDSLOTS", slot_of(key))
        answer: object = ""
        while answer == "":
            with contextlib.suppress(BrokerUnavailable):
                answer = await redis.command(key, "GET", key)
        assert answer is None


@pytest.fixture
def replicated_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster that survives the failure of a master."""
    with RedisCluster(tmp_path, replicas=1) as cluster:
        yield cluster


async def test_a_replica_takes_over(replicated_cluster: RedisCluster) -> None:
    async with opened(f"{replicated_cluster.url}?patience=20") as redis:
        key = "{q}:a"
        source, _ = await to_thread(holder, replicated_cluster, key)
        assert await redis.run(APPEND, [key], ["a"]) == 1
        await to_thread(source.kill)
        began = time.monotonic()
        answer = None
        while answer is None:
            with contextlib.suppress(ReplyLost):
                answer = await redis.run(APPEND, [key], ["b"])
        print(f"{time.monotonic() - began:.2f} s after the master died")
        assert answer in (1, 2)  # the first may not have reached the replica
        assert len(await redis.everywhere("PING")) == 3


@pytest.fixture
def guarded_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster with TLS and a user."""
    tls = Certificates(tmp_path / "tls")
    with RedisCluster(tmp_path, "tls-cluster yes", users={"me": "~* &* +@all"}, tls=tls) as cluster:
        yield cluster


async def test_a_cluster_with_tls_and_a_user(guarded_cluster: RedisCluster) -> None:
    node = guarded_cluster.nodes[1]
    assert node.tls
    url = node.url.replace("rediss:", "rediss+cluster:").removesuffix("/0")
    async with opened(f"{url}?ca={node.tls.ca}") as redis:
        names = [f"{{{number}}}" for number in range(30)]
        assert await asyncio.gather(*(redis.run(APPEND, [name], ["a"]) for name in names)) == [1] * 30
    with pytest.raises(BrokerError, match="the user name or password is wrong"):
        await RedisClient(parse(f"{url.replace('me:', 'me:x')}?ca={node.tls.ca}")).open()
