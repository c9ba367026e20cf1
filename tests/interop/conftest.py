"""Go and asynqio peers on a shared Redis server, and the directions of the tests."""

from __future__ import annotations

import os
from typing import Unpack

import pytest

from tests.brokers.redis.support.servers import RedisServer
from tests.interop.support.build import Programs, programs
from tests.interop.support.compiler import to_terminal
from tests.interop.support.ours import OurClient, OurInspector, OurServer
from tests.interop.support.peers import (
    GoCli,
    GoClient,
    GoInspector,
    GoRdb,
    GoScheduler,
    GoServer,
    OldGoServer,
)
from tests.interop.support.views import GoServerOptions

#: The producer and the worker of a test. Go with Go verifies the expectations of a test; it runs on demand.
DIRECTIONS = ["go-ours", "ours-go", *(["go-go"] if os.environ.get("ASYNQIO_INTEROP_GO") else [])]


class Ours:
    """Creates asynqio peers."""

    name = "ours"

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> OurClient:
        return OurClient(self.url)

    def server(self, **settings: Unpack[GoServerOptions]) -> OurServer:
        return OurServer(self.url, **settings)

    def inspector(self) -> OurInspector:
        return OurInspector(self.url)


class Go:
    """Creates Go peers."""

    name = "go"

    def __init__(self, built: Programs, url: str) -> None:
        self._built = built
        self.url = url
        self.cli = GoCli(built.cli, url)

    def client(self) -> GoClient:
        return GoClient(self._built.peer, self.url)

    def server(self, **settings: Unpack[GoServerOptions]) -> GoServer:
        return GoServer(self._built.peer, self.url, **settings)

    def old_server(self) -> OldGoServer:
        return OldGoServer(self._built.old, self.url)

    def scheduler(self, *, location: str = "UTC", heartbeat: int = 1) -> GoScheduler:
        return GoScheduler(self._built.peer, self.url, location=location, heartbeat=heartbeat)

    def inspector(self) -> GoInspector:
        return GoInspector(self._built.peer, self.url)

    def rdb(self, url: str | None = None) -> GoRdb:
        return GoRdb(self._built.peer, url or self.url)


@pytest.fixture(scope="session")
def built(pytestconfig: pytest.Config) -> Programs:
    """The Go programs. The first build takes a minute or two, so it shows its progress."""
    return programs(to_terminal(pytestconfig))


@pytest.fixture
def go(built: Programs, redis_server: RedisServer) -> Go:
    """Go peers on the shared, empty Redis server."""
    return Go(built, redis_server.url)


#: Either kind of peer; their common methods have the same names.
Side = Ours | Go


@pytest.fixture
def ours(redis_server: RedisServer) -> Ours:
    """asynqio peers on the shared, empty Redis server."""
    return Ours(redis_server.url)


@pytest.fixture(params=DIRECTIONS)
def direction(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The producer and the worker."""
    producer, _, worker = str(request.param).partition("-")
    return producer, worker


@pytest.fixture
def producer(direction: tuple[str, str], go: Go, ours: Ours) -> Side:
    """The side that enqueues."""
    return go if direction[0] == "go" else ours


@pytest.fixture
def worker(direction: tuple[str, str], go: Go, ours: Ours) -> Side:
    """The side that works."""
    return go if direction[1] == "go" else ours
