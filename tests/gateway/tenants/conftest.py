"""A gateway with two tenants, whose prefixes contain each other, before every kind of store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conftest import StartGateway
from tests.gateway.rest.admin import ADMIN, ROOT, client, succeed
from tests.gateway.running import RunningGateway

#: Their user names are also their passwords.
TENANTS = {"a": "ann", "ab": "bob"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """The settings of a gateway with an administrator, whose tenants are all in the store."""
    file = tmp_path / "tenants.json"
    file.write_text("[]")
    file.chmod(0o600)
    return {"tenant_config": str(file), "admin": ADMIN}


async def add_tenant(gateway: RunningGateway, prefix: str, username: str) -> None:
    tenant = {"id": f"tenant-{prefix}", "username": username, "password": username, "queue_prefix": prefix}
    async with client(gateway, ROOT) as root:
        await succeed(root.post("/api/tenants", json=tenant))


@pytest.fixture
async def gateway(start_gateway: StartGateway, settings: dict[str, Any]) -> RunningGateway:
    gateway = await start_gateway(**settings)
    for prefix, username in TENANTS.items():
        await add_tenant(gateway, prefix, username)
    return gateway
