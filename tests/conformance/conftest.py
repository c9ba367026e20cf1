"""The brokers that keep the contract. Every test in this folder runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock, Flaky
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server

BROKERS = ["memory", "sqlite", "redis", "redis-cluster"]
#: Wrappers around a broker keep the contract too.
WRAPPERS = ["flaky"]


def broker_url(kind: str, folder: Path) -> str:
    """Where a fresh store of this kind is."""
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
    """The store of this kind, or wrapped in this way, to be opened."""
    store = open_broker(url, clock=clock)
    return Flaky(store).broker if kind == "flaky" else store


@pytest.fixture(params=[*BROKERS, *WRAPPERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """Where a fresh store is."""
    return broker_url(kind, tmp_path)


@pytest.fixture
async def broker(kind: str, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """A fresh, open store whose time is `clock`."""
    async with make_store(kind, url, clock) as store:
        yield store
