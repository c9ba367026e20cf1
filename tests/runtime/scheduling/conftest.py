"""A store and a fake clock for tickers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.conformance.conftest import BROKERS, broker_url
from tests.runtime.scheduling.ticking import HOUR


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(HOUR + 0.25)


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with open_broker(broker_url(request.param, tmp_path), clock=clock) as store:
        yield store


@pytest.fixture
async def memory(clock: FakeClock) -> Store:
    return open_broker("memory://", clock=clock)
