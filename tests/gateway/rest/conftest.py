"""HTTP clients of gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.gateway.running import RunningGateway


@pytest.fixture
async def http(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway of the test, without credentials."""
    async with httpx.AsyncClient(base_url=f"http://{gateway.address}") as client:
        yield client
