"""A gateway with an administrator, tenants and a token of every role."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asynqio.core.access.roles import Role
from tests.gateway.conftest import StartGateway
from tests.gateway.rest.admin import ADMIN, ROOT, bearer, client, succeed
from tests.gateway.running import RunningGateway


@pytest.fixture
def url() -> str:
    """The store does not matter here."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def tenant_file(tmp_path: Path) -> str:
    """A tenant file without tenants."""
    file = tmp_path / "tenants.json"
    file.write_text("[]")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
async def gateway(start_gateway: StartGateway, tenant_file: str) -> RunningGateway:
    return await start_gateway(tenant_config=tenant_file, admin=ADMIN)


@pytest.fixture
async def root(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the credentials of the administrator."""
    async with client(gateway, ROOT) as root:
        yield root


async def token_of(root: httpx.AsyncClient, role: Role, *, typed: bool = False) -> str:
    """The Authorization header of a new token of a role on the queues `mail-*`, `typed`: on the types `email:*`."""
    fields: dict[str, Any] = {"name": role, "role": role, "queues": ["mail-*"]}
    if typed:
        fields["types"] = ["email:*"]
    made = await succeed(root.post("/api/v1/tokens", json=fields))
    return bearer(made["token"])
