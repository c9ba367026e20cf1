"""Gateways before every kind of store."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.gateway.settings import GatewaySettings
from tests.brokers.redis.support.fixtures import fresh_server
from tests.gateway.running import RunningGateway

#: The kinds of stores that a gateway is tested before.
STORES = ["memory", "sqlite", "redis"]
StartGateway = Callable[..., Awaitable[RunningGateway]]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, which the test and the gateway share."""
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/tasks.db"
        case "redis":
            return fresh_server().url
        case _:
            return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def start_gateway(url: str) -> Iterator[StartGateway]:
    """Starts gateways before the store; they are stopped after the test. Keyword arguments are settings."""
    with contextlib.ExitStack() as stack:

        async def start(**settings: Any) -> RunningGateway:
            def enter() -> RunningGateway:  # it reads the tenant file
                chosen = GatewaySettings(**{"standalone": True, **settings})
                return stack.enter_context(RunningGateway(url, chosen))

            return await asyncio.to_thread(enter)

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> RunningGateway:
    """A gateway without authentication."""
    return await start_gateway()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """The store behind the gateway, opened by the test."""
    async with open_broker(url) as store:
        yield store
