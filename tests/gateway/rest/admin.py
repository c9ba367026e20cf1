"""Gateways with tenants and an administrator, and HTTP clients with credentials."""

from __future__ import annotations

import base64
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from asynqio.gateway.principals.credentials import Basic
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.running import RunningGateway

ADMIN = Basic("root", "of-root")


def basic(username: str, password: str) -> str:
    """The value of the Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def bearer(token: str) -> str:
    return f"Bearer {token}"


ROOT = basic(ADMIN.username, ADMIN.password)


def client(gateway: RunningGateway, authorization: str = "") -> httpx.AsyncClient:
    """An HTTP client of the gateway; close it."""
    headers = {"authorization": authorization} if authorization else {}
    return httpx.AsyncClient(base_url=f"http://{gateway.address}", headers=headers, timeout=30.0)


def protocol_client(gateway: RunningGateway, authorization: str) -> ProtocolClient:
    """A client of the asynq-server protocol; use it in `async with`."""
    return ProtocolClient(gateway.address, additional_headers={"Authorization": authorization})


async def can_connect(gateway: RunningGateway, authorization: str, path: str = "/ws") -> int:
    """The status of the answer to the upgrade to a WebSocket: 101 if it succeeds."""
    headers = {"Authorization": authorization} if authorization else {}
    try:
        async with connect(f"ws://{gateway.address}{path}", additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def succeed(request: Any) -> Any:
    """The body of the answer to a request that succeeds."""
    response = await request
    assert response.is_success, response.text
    return response.json()
