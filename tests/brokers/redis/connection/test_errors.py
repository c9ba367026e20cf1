"""Error replies and the exceptions that callers get. Against real servers."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost, translate
from asynqio.errors import BrokerError, BrokerRefused, BrokerUnavailable, CannotStore, StorageFull
from tests.brokers.redis.connection.opening import opened, outcome
from tests.brokers.redis.support.servers import RedisServer


async def test_errors_are_raised_with_their_code(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as connection:
        await connection.call("SET", "text", "x")
        with pytest.raises(RedisError) as caught:
            await connection.call("LPUSH", "text", "y")
        assert caught.value.code == "WRONGTYPE"
        assert caught.value.text.startswith("WRONGTYPE Operation against")
        with pytest.raises(RedisError) as caught:
            await connection.call("EVALSHA", "0" * 40, 0)
        assert caught.value.code == "NOSCRIPT"
        with pytest.raises(RedisError, match="unknown command"):
            await connection.call("NOSUCH")


async def test_a_full_server_raises_storage_full(server: RedisServer) -> None:
    async with opened(server.url) as connection:
        await connection.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StorageFull, match="nothing was changed"):
            await connection.call("SET", "a", "b")
        with pytest.raises(StorageFull):
            await connection.call("EVAL", "return redis.call('SET', KEYS[1], 'b')", 1, "a")


async def test_a_demoted_master_is_disconnected(server: RedisServer) -> None:
    async with opened(server.url) as connection:
        number = await connection.call("CLIENT", "ID")
        await connection.call("REPLICAOF", "127.0.0.1", 1)
        refused, other = await asyncio.gather(
            outcome(connection.call("SET", "a", 1)), outcome(connection.call("ECHO", "b"))
        )
        assert isinstance(refused, BrokerUnavailable)
        assert not isinstance(refused, ReplyLost)
        assert other == b"b"  # it was sent before
        await connection.call("REPLICAOF", "NO", "ONE")
        assert await connection.call("CLIENT", "ID") != number
        assert await connection.call("SET", "a", 1) == b"OK"


async def test_a_server_blocked_by_a_script_is_unavailable(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=30") as connection, opened(server.url) as other:
        await connection.call("CONFIG", "SET", "busy-reply-threshold", 1)
        loop = asyncio.ensure_future(outcome(connection.call("EVAL", "while true do end", 0)))
        error = None
        while not isinstance(error, BrokerUnavailable):
            error = await outcome(other.call("GET", "a"))
        assert "SCRIPT KILL" in str(error)
        await other.call("SCRIPT", "KILL")
        assert isinstance(await loop, RedisError)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # The format in which versions before 7 report errors inside a script.
        (
            "ERR Error running script (call to f_94): @user_script:1: @user_script: 1: -OOM command not allowed",
            StorageFull,
        ),
        (
            "ERR Error running script (call to f_94): @user_script:1: @user_script: 1: -READONLY You can't write",
            BrokerUnavailable,
        ),
        ("ERR Error running script (call to f_94): @user_script:1: attempt to call a nil value", RedisError),
        ("LOADING Redis is loading the dataset in memory", BrokerUnavailable),
        ("MASTERDOWN Link with MASTER is down", BrokerUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots", BrokerUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", BrokerUnavailable),
        ("CLUSTERDOWN The cluster is down", BrokerUnavailable),
        ("BUSYKEY Target key name already exists.", RedisError),
        ("NOT FOUND", RedisError),
        ("", RedisError),
        # Credentials, permissions, quotas of providers, and unknown replies are refusals: kept and retried.
        ("WRONGPASS invalid username-password pair or user is disabled.", RedisError),
        ("NOAUTH Authentication required.", RedisError),
        ("NOPERM User worker has no permissions to run the 'hset' command", RedisError),
        ("DENIED Redis is running in protected mode", RedisError),
        ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.", RedisError),
        ("ERR Command is not available: 'evalsha'. See https://upstash.com/docs", RedisError),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", RedisError),
        ("SOMETHINGNEW of a later version", RedisError),
        # Never.
        ("ERR string exceeds maximum allowed size (proto-max-bulk-len)", CannotStore),
    ],
)
def test_error_replies_map_to_exceptions(text: str, kind: type[BrokerError]) -> None:
    error = translate(text)
    assert isinstance(error, kind)
    assert isinstance(error, RedisError) == (kind is RedisError)
    assert isinstance(error, BrokerUnavailable | BrokerRefused | CannotStore)


def test_errors_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(translate("WRONGTYPE Operation against a key")))
    assert isinstance(error, RedisError)
    assert (error.code, error.text) == ("WRONGTYPE", "WRONGTYPE Operation against a key")
