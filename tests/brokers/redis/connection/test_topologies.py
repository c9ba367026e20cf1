"""The test cluster and sentinels behave as other tests assume."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from redis.sentinel import Sentinel

from tests.brokers.redis.support.cluster import SLOTS, RedisCluster
from tests.brokers.redis.support.sentinels import NAME, RedisSentinels
from tests.until import until


def connected(cluster: RedisCluster) -> redis.RedisCluster:
    """An ordinary client of a cluster."""
    return redis.RedisCluster.from_url(cluster.urls[0], decode_responses=True)


def test_each_slot_is_served(redis_cluster: RedisCluster) -> None:
    for node in redis_cluster.nodes:
        served = [range(first, last + 1) for first, last, *_ in node.cli("CLUSTER", "SLOTS")]
        assert len(served) == 3
        assert {slot for slots in served for slot in slots} == set(range(SLOTS))


def test_the_shared_cluster_is_empty(redis_cluster: RedisCluster) -> None:
    with connected(redis_cluster) as caller:
        for number in range(30):
            caller.set(f"key-{number}", "value")
        assert all(node.cli("DBSIZE") for node in redis_cluster.nodes)
    redis_cluster.flush()
    assert not any(node.cli("DBSIZE") for node in redis_cluster.nodes)


def test_a_restarted_node_keeps_its_slots(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, aof="always") as cluster:
        with connected(cluster) as caller:
            caller.set("foo", "value")  # "foo" is in slot 12182, which the third node serves
        cluster.kill(2)
        with pytest.raises(redis.ConnectionError):
            cluster.nodes[2].cli("PING")
        cluster.restart(2)
        cluster.wait_until_whole()
        with connected(cluster) as caller:
            assert caller.get("foo") == "value"


def test_a_replica_takes_over_in_a_cluster(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, replicas=1) as cluster:
        cluster.kill(0)
        cluster.wait_until_whole()
        assert cluster.is_master(cluster.nodes[3])


def test_sentinels_promote_the_replica(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path) as group:
        first, second = group.servers
        assert group.master() is first
        group.kill_master()
        until("the replica is the master", lambda: group.master() is second)
        first.start()
        until("the old master follows the new one", lambda: first.cli("ROLE")[0] == "slave")
        with Sentinel([("127.0.0.1", sentinel.port) for sentinel in group.sentinels]) as finder:  # type: ignore[no-untyped-call]
            assert finder.discover_master(NAME) == ("127.0.0.1", second.port)
