"""The Redis servers that tests share: one of each kind per process of pytest, started when first asked for.

They are for tests that only need an empty store. A test that kills, freezes or configures a server starts its own.
Here alone a test may block its event loop, for half a millisecond.
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
    """A fixture whose program is not installed skips the test at home, and fails it in CI."""
    with _skipping():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """So does a test that starts a server itself."""
    with _skipping():
        return (yield)


def fresh_server() -> RedisServer:
    """The shared server, with nothing in it. The first call starts it (15 ms), every call empties it (0.5 ms)."""
    server = _server()
    server.flush()
    return server


def fresh_cluster() -> RedisCluster:
    """The shared cluster of three masters, with nothing in it. Here the first call takes 2 s, the others 1.5 ms."""
    cluster = _cluster()
    cluster.flush()
    return cluster


def redis_url() -> str:
    """The URL of the shared server, with nothing in it."""
    return fresh_server().url


def redis_cluster_url() -> str:
    """The URL of the shared cluster, with nothing in it."""
    return fresh_cluster().url


@pytest.fixture
def redis_server() -> RedisServer:
    """The shared server, with nothing in it."""
    return fresh_server()


@pytest.fixture
def redis_cluster() -> RedisCluster:
    """The shared cluster, with nothing in it."""
    return fresh_cluster()


def pytest_unconfigure() -> None:
    """Stop what was started."""
    _open.close()
    for made in (_server, _cluster, _folder):
        made.cache_clear()
