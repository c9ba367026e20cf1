"""Apps for tests of the runtime, on every broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio import App
from tests.conformance.conftest import BROKERS, broker_url


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store."""
    return broker_url(request.param, tmp_path)


@pytest.fixture
async def app(url: str) -> AsyncIterator[App]:
    """An open app on a new store, with the system clock."""
    async with App(url) as app:
        yield app
