"""The brokers under test. Every test in this folder runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock, Flaky
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server

BROKERS = ["memory", "sqlite", "redis", "redis-cluster"]
#: Wrappers that must keep the contract too.
WRAPPERS = ["flaky"]


def broker_url(kind: str, folder: Path) -> str:
    """The URL of an empty store of this kind."""
    match kind:
        case "sqlite":
            return f"sqlite:///{folder}/tasks.db"
        case "redis":
            return fresh_server().url
        case "redis-cluster":
            return fresh_cluster().url
        case _:
            return "memory://"


def make_store(kind: str, url: str, clock: FakeClock) -> Store:
    """A broker of this kind, not yet open."""
    store = open_broker(url, clock=clock)
    return Flaky(store).broker if kind == "flaky" else store


@pytest.fixture(params=[*BROKERS, *WRAPPERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(kind, tmp_path)


@pytest.fixture
async def broker(kind: str, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """An empty, open store whose time is `clock`."""
    async with make_store(kind, url, clock) as store:
        yield store
