"""Peers on the shared Redis server."""

from __future__ import annotations

import sys
from typing import Unpack

import pytest

from tests.interop.build import Programs, programs
from tests.interop.peers import GoCli, GoClient, GoInspector, GoRdb, GoScheduler, GoServer
from tests.interop.views import GoServerOptions
from tests.redis.servers import RedisServer


class Go:
    """Makes peers on one Redis."""

    def __init__(self, built: Programs, url: str) -> None:
        self._built = built
        self.url = url
        self.cli = GoCli(built.cli, url)

    def client(self) -> GoClient:
        return GoClient(self._built.peer, self.url)

    def server(self, **settings: Unpack[GoServerOptions]) -> GoServer:
        return GoServer(self._built.peer, self.url, **settings)

    def scheduler(self, *, location: str = "UTC", heartbeat: int = 1) -> GoScheduler:
        return GoScheduler(self._built.peer, self.url, location=location, heartbeat=heartbeat)

    def inspector(self) -> GoInspector:
        return GoInspector(self._built.peer, self.url)

    def rdb(self, url: str | None = None) -> GoRdb:
        return GoRdb(self._built.peer, url or self.url)


@pytest.fixture(scope="session")
def built(pytestconfig: pytest.Config) -> Programs:
    """The Go programs. A first build takes a minute or two, so it shows what it does."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end="", file=sys.stderr, flush=True)

    return programs(say)


@pytest.fixture
def go(built: Programs, redis_server: RedisServer) -> Go:
    """Peers on the shared Redis server, which is empty."""
    return Go(built, redis_server.url)
