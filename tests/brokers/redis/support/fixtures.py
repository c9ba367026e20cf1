"""Redis servers that tests share: one of each kind per pytest process, started on first use.

They are for tests that need only an empty store. A test that kills, freezes or configures a server starts its own.
Emptying a shared server blocks the event loop of the test for half a millisecond.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.servers import MissingProgram, RedisServer

_open = contextlib.ExitStack()


@functools.cache
def _folder() -> Path:
    return Path(_open.enter_context(tempfile.TemporaryDirectory(prefix="asynqio-redis-")))


@functools.cache
def _server() -> RedisServer:
    return _open.enter_context(RedisServer(_folder() / "single"))


@functools.cache
def _cluster() -> RedisCluster:
    return _open.enter_context(RedisCluster(_folder() / "cluster"))


@contextlib.contextmanager
def _skipping() -> Iterator[None]:
    try:
        yield
        return
    except MissingProgram as missing:
        reason = str(missing)
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip a test whose fixture needs a missing program; in CI, fail it."""
    with _skipping():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """The same for a test that starts a server itself."""
    with _skipping():
        return (yield)


def shared_server() -> RedisServer:
    """The shared server as it is."""
    return _server()


def fresh_server() -> RedisServer:
    """The shared server, emptied. The first call starts it (15 ms), every call empties it (0.5 ms)."""
    server = _server()
    server.flush()
    return server


def fresh_cluster() -> RedisCluster:
    """The shared cluster of three masters, emptied. The first call takes 2 s, the others 1.5 ms."""
    cluster = _cluster()
    cluster.flush()
    return cluster


def redis_url() -> str:
    """The URL of the shared server, emptied."""
    return fresh_server().url


def redis_cluster_url() -> str:
    """The URL of the shared cluster, emptied."""
    return fresh_cluster().url


@pytest.fixture
def redis_server() -> RedisServer:
    """The shared server, emptied."""
    return fresh_server()


@pytest.fixture
def redis_cluster() -> RedisCluster:
    """The shared cluster, emptied."""
    return fresh_cluster()


def pytest_unconfigure() -> None:
    """Stop the servers."""
    _open.close()
    for made in (_server, _cluster, _folder):
        made.cache_clear()
