"""Redis without CLIENT, INFO, SCAN and CONFIG, as some providers offer it, for tests of the contract.

The tests of this folder are those of tests/conformance, on these servers.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.conformance.conftest import make_store

MISSING = ("client", "info", "scan", "config")


@functools.cache
def _server(kind: str, folder: Path) -> RedisServer:
    if kind == "redis-no-permission":
        users = {"worker": f"~* &* +@all {' '.join(f'-{name}' for name in MISSING)}"}
        return RedisServer(folder / kind, users=users).start()
    return RedisServer(folder / kind, *(f'rename-command {name} ""' for name in MISSING)).start()


@pytest.fixture(scope="session")
def limited_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the servers, which start with their first test."""
    folder = tmp_path_factory.mktemp("limited")
    yield folder
    for kind in ("redis-no-permission", "redis-no-command"):
        _server(kind, folder).stop()
    _server.cache_clear()


@pytest.fixture(params=["redis-no-permission", "redis-no-command"])
def kind(request: pytest.FixtureRequest) -> str:
    """What is missing: the permission of the user, or the commands themselves."""
    return str(request.param)


@pytest.fixture
def limited_server(kind: str, limited_servers: Path) -> RedisServer:
    """The server, emptied."""
    server = _server(kind, limited_servers)
    server.flush()
    return server


@pytest.fixture
def url(limited_server: RedisServer) -> str:
    return limited_server.url


@pytest.fixture
async def broker(kind: str, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    async with make_store(kind, url, clock) as store:
        yield store
