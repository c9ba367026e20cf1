"""The proxy delays, cuts and drops as configured, and otherwise forwards faithfully."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import redis
from benchmarks.network.proxy import DelayingProxy
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.brokers.redis.support.servers import RedisServer
from tests.until import until


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    """A proxy in front of the shared server."""
    with DelayingProxy(redis_server.port) as made:
        yield made


@pytest.fixture
def caller(proxy: DelayingProxy) -> Iterator[redis.Redis]:
    """A client behind the proxy that never retries."""
    with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), 0)) as made:
        yield made


def test_the_delay_applies_to_each_direction(proxy: DelayingProxy, caller: redis.Redis) -> None:
    caller.ping()
    proxy.set_delay(0.02)
    start = time.perf_counter()
    caller.ping()
    assert time.perf_counter() - start >= 0.04


def test_concurrent_messages_arrive_in_order(proxy: DelayingProxy) -> None:
    proxy.set_delay(0.02)
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        start = time.perf_counter()
        for number in range(500):
            raw.sendall(b"ECHO %d\r\n" % number)
        answers = _lines(raw, 1000)
    assert answers[1::2] == [b"%d" % number for number in range(500)]
    assert time.perf_counter() - start < 500 * 0.04 / 10


def test_large_data_arrives_complete(proxy: DelayingProxy, caller: redis.Redis) -> None:
    proxy.set_delay(0.001)
    value = bytes(range(256)) * 40_000
    caller.set("key", value)
    assert caller.get("key") == value


def test_a_cut_connection_can_be_reopened(proxy: DelayingProxy, caller: redis.Redis) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        until("the proxy has it", lambda: proxy.connections() == 1)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            raw.recv(100)
    assert caller.ping()


def test_a_request_whose_reply_is_dropped_has_its_effect(
    proxy: DelayingProxy, caller: redis.Redis, redis_server: RedisServer
) -> None:
    proxy.drop_replies(after="INCR")
    assert caller.get("key") is None
    with pytest.raises(redis.ConnectionError):
        caller.incr("key")
    assert redis_server.cli("GET", "key") == "1"
    assert proxy.dropped() == 1
    assert caller.incr("key") == 2


def test_stalled_data_arrives_after_resuming(proxy: DelayingProxy, redis_server: RedisServer) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        proxy.stall()
        raw.sendall(b"SET key value\r\n")
        raw.settimeout(0.05)
        with pytest.raises(TimeoutError):
            raw.recv(100)
        assert redis_server.cli("GET", "key") is None
        proxy.resume()
        raw.settimeout(10)
        assert raw.recv(100) == b"+OK\r\n"


def test_closing_a_connection_is_forwarded(proxy: DelayingProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        raw.sendall(b"PING\r\nQUIT\r\n")
        raw.shutdown(socket.SHUT_WR)
        assert _lines(raw, 3) == [b"+PONG", b"+OK"]
    until("the proxy has forgotten it", lambda: proxy.connections() == 0)


def test_a_stopped_server_refuses_connections() -> None:
    with (
        DelayingProxy(target=1) as lonely,
        redis.Redis(port=lonely.port, retry=Retry(NoBackoff(), 0)) as caller,
        pytest.raises(redis.ConnectionError),
    ):
        caller.ping()


def _lines(raw: socket.socket, count: int) -> list[bytes]:
    """N lines, or fewer if the connection ends."""
    with raw.makefile("rb") as file:
        return [line.rstrip(b"\r\n") for _, line in zip(range(count), file, strict=False)]
