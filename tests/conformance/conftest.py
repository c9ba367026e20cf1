"""The brokers that keep the contract. Every test in this folder runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.base import Store
from asynqio.testing import FakeClock

BROKERS = ["memory", "sqlite"]


def broker_url(kind: str, folder: Path) -> str:
    """Where a fresh store of this kind is."""
    return {"memory": "memory://", "sqlite": f"sqlite:///{folder}/tasks.db"}[kind]


@pytest.fixture(params=BROKERS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)


@pytest.fixture
async def broker(kind: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh, open store whose time is `clock`."""
    async with open_broker(broker_url(kind, tmp_path), clock=clock) as store:
        yield store
