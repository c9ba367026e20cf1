"""Stores and passwords for the tests of principals."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.gateway.principals.passwords import Passwords
from asynqio.testing import FakeClock
from tests.conformance.conftest import broker_url
from tests.gateway.principals.helpers import CountingHasher


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the store; a test that does not depend on it overrides it by `one_store`."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(kind, tmp_path)


@pytest.fixture
async def store(url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """An empty, open store whose time is `clock`."""
    async with open_broker(url, clock=clock) as store:
        yield store


@pytest.fixture
def hasher() -> CountingHasher:
    """Argon2id with the real parameters, and a count of its runs."""
    return CountingHasher()


@pytest.fixture
async def passwords(hasher: CountingHasher) -> AsyncIterator[Passwords]:
    passwords = Passwords(hasher=hasher)
    yield passwords
    await passwords.aclose()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All records, at every level."""
    with caplog.at_level(logging.DEBUG):
        yield caplog
