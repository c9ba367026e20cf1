"""The brokers that keep the contract. Every test in this folder runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.base import Store
from asynqio.testing import FakeClock, Flaky

BROKERS = ["memory", "sqlite"]
#: Wrappers around a broker keep the contract too.
WRAPPERS = ["flaky"]


def broker_url(kind: str, folder: Path) -> str:
    """Where a fresh store of this kind is."""
    return {"memory": "memory://", "flaky": "memory://", "sqlite": f"sqlite:///{folder}/tasks.db"}[kind]


def make_store(kind: str, folder: Path, clock: FakeClock) -> Store:
    """A fresh store of this kind, or wrapped in this way, to be opened."""
    store = open_broker(broker_url(kind, folder), clock=clock)
    return Flaky(store).broker if kind == "flaky" else store


@pytest.fixture(params=[*BROKERS, *WRAPPERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)


@pytest.fixture
async def broker(kind: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh, open store whose time is `clock`."""
    async with make_store(kind, tmp_path, clock) as store:
        yield store
