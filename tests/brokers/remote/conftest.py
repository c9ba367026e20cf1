"""Gateways, and brokers that reach them through a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.remote.broker import RemoteBroker
from tests.brokers.remote.support.gateway import GatewayServer, TestGateway
from tests.brokers.remote.support.proxy import Proxy


@pytest.fixture
def gateway() -> Iterator[GatewayServer]:
    """A gateway of this test alone, before memory stores."""
    server = GatewayServer(TestGateway()).start()
    yield server
    server.close()


@pytest.fixture
def store(gateway: GatewayServer) -> Store:
    """The store behind the gateway, under the path /ws."""
    behind = open_broker("memory://")
    gateway.app.add("ws", behind)
    return behind


@pytest.fixture
async def proxy(gateway: GatewayServer, store: Store) -> AsyncIterator[Proxy]:
    async with Proxy(gateway.port) as proxy:
        yield proxy


@pytest.fixture
async def broker(proxy: Proxy) -> AsyncIterator[RemoteBroker]:
    """A broker that reaches the gateway through the proxy."""
    async with open_broker(f"{proxy.url}?patience=20&timeout=20") as broker:
        assert isinstance(broker, RemoteBroker)
        yield broker
