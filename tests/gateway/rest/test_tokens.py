"""Managing API tokens and the passwords of tenants over REST, before each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from asynqio.brokers.contract.broker import Store
from asynqio.gateway.asgi import POLICY_VIOLATION
from tests.gateway.conftest import StartGateway
from tests.gateway.principals.helpers import dump
from tests.gateway.rest.admin import (
    ADMIN,
    ROOT,
    basic,
    bearer,
    can_connect,
    client,
    protocol_client,
    succeed,
)
from tests.gateway.running import RunningGateway


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """The settings of a gateway with tenants, none of which is in the file, and an administrator."""
    file = tmp_path / "tenants.json"
    file.write_text("[]")
    file.chmod(0o600)
    return {"tenant_config": str(file), "admin": ADMIN}


@pytest.fixture
async def gateway(start_gateway: StartGateway, settings: dict[str, Any]) -> RunningGateway:
    return await start_gateway(**settings)


@pytest.fixture
async def root(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the credentials of the administrator."""
    async with client(gateway, ROOT) as root:
        yield root


async def create(root: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    response = await root.post("/api/v1/tokens", json={"name": "ci", "role": "producer", **fields})
    assert response.status_code == 201, response.text
    return response.json()  # type: ignore[no-any-return]


async def add_tenant(root: httpx.AsyncClient, id: str, username: str, password: str) -> None:
    await succeed(root.post("/api/tenants", json={"id": id, "username": username, "password": password}))


async def status(gateway: RunningGateway, authorization: str, path: str = "/api/queues") -> int:
    async with client(gateway, authorization) as http:
        return (await http.get(path)).status_code


@pytest.mark.requirement("SEC-GW-3")
async def test_a_token_is_shown_once_used_listed_and_revoked(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    made = await create(root, queues=["mail*"], types=["email:*"], expires_in=3600)
    text, details = made["token"], made["details"]
    assert text.startswith("asq_")
    assert (details["name"], details["role"], details["owner"], details["tenant"]) == (
        "ci",
        "producer",
        "root",
        None,
    )
    [grant] = details["grants"]
    assert (grant["queues"], grant["types"]) == (["mail*"], ["email:*"])
    created, expires = (datetime.fromisoformat(details[key]) for key in ("created_at", "expires_at"))
    assert (expires - created).total_seconds() == 3600
    listed = await root.get("/api/v1/tokens")
    assert listed.json() == {"tokens": [details]}
    assert details["last_used_at"] is None
    job = {"type": "email:send", "payload": None, "queue": "mail"}
    async with client(gateway, bearer(text)) as http:
        assert (await http.post("/api/v1/jobs", json=job)).status_code == 201
        assert (await http.post("/api/v1/jobs", json={**job, "queue": "other"})).status_code == 403
        assert (await http.post("/api/v1/jobs", json={**job, "type": "other"})).status_code == 403
    [used] = (await root.get("/api/v1/tokens")).json()["tokens"]
    assert datetime.fromisoformat(used["last_used_at"]) >= created.replace(microsecond=0)
    revoked = await root.delete(f"/api/v1/tokens/{details['id']}")
    assert (revoked.status_code, revoked.json()) == (
        200,
        {"message": "Token revoked", "id": details["id"], "name": "ci"},
    )
    assert await status(gateway, bearer(text)) == 401
    assert (await root.delete(f"/api/v1/tokens/{details['id']}")).status_code == 404
    assert (await root.get("/api/v1/tokens")).json() == {"tokens": []}
    audit = (await root.get("/api/v1/audit")).text
    for kept in (await dump(store, "tokens", "token-uses"), listed.text, audit):
        assert text not in kept
        assert text.removeprefix("asq_")[:16] not in kept


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "name must have"),
        ({"name": "a\nb"}, "name must have"),
        ({"role": None}, "role or grants"),
        ({"role": "owner"}, "role: Invalid enum value"),
        ({"queues": [""]}, "queues or types: a pattern must not be empty"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 1e12}, "expires_in"),
        ({"grants": [{"actions": ["task:all"]}]}, "grants"),
        ({"grants": [{"actions": ["task:read"], "queues": [""]}]}, "grants"),
        ({"tenant": "nobody"}, "tenant: there is no tenant"),
        ({"tenant": ""}, "tenant: there is no tenant"),
        ({"scope": "all"}, "unknown field"),
        ({"name": 7}, "name: Expected `str`"),
    ],
)
async def test_invalid_tokens_are_refused(
    root: httpx.AsyncClient, fields: dict[str, object], problem: str
) -> None:
    body = {"name": "ci", "role": "producer", **fields}
    response = await root.post("/api/v1/tokens", json=body)
    assert response.status_code == 400, response.text
    assert problem in response.json()["error"]
    assert (await root.get("/api/v1/tokens")).json() == {"tokens": []}


@pytest.mark.requirement("SEC-GW-3")
async def test_grants_are_given_and_denied(gateway: RunningGateway, root: httpx.AsyncClient) -> None:
    grants = [{"actions": ["task:read"]}, {"actions": ["task:read"], "queues": ["secret"], "deny": True}]
    made = await create(root, role=None, grants=grants)
    assert made["details"]["role"] is None
    token = bearer(made["token"])
    assert await status(gateway, token) == 200
    assert await status(gateway, token, "/api/queues/secret/tasks") == 403
    assert await status(gateway, token, "/api/v1/tokens") == 403


@pytest.mark.requirement("SEC-GW-6")
async def test_a_token_of_a_tenant_is_within_its_part_and_ends_with_it(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    await add_tenant(root, "one", "ann", "of-ann")
    made = await create(root, tenant="one", role="admin")
    assert made["details"]["tenant"] == "one"
    token = bearer(made["token"])
    async with client(gateway, token) as http:
        await succeed(http.post("/api/v1/jobs", json={"payload": 1, "queue": "mail"}))
        assert (await http.get("/api/v1/tokens")).status_code == 403
        assert (await http.get("/api/tenants")).status_code == 403
    assert await store.queues() == ["one:mail"]
    await succeed(root.delete("/api/tenants/ann"))
    assert await status(gateway, token) == 401
    await add_tenant(root, "one", "ann", "of-ann")
    assert await status(gateway, token) == 401


@pytest.mark.requirement("SEC-GW-3")
@pytest.mark.requirement("SEC-GW-10")
async def test_revoking_a_token_closes_its_connections_on_every_gateway(
    gateway: RunningGateway,
    root: httpx.AsyncClient,
    start_gateway: StartGateway,
    settings: dict[str, Any],
) -> None:
    other = await start_gateway(**settings)
    made = await create(root, role="worker")
    token = bearer(made["token"])
    async with client(other, ROOT) as there:
        await succeed(there.get("/api/v1/tokens"))  # it reads them
    async with protocol_client(other, token) as connected:
        assert await connected.call("ping") == {"type": "pong"}
        await succeed(root.delete(f"/api/v1/tokens/{made['details']['id']}"))
        with pytest.raises(ConnectionClosed) as closed:
            await connected.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == POLICY_VIOLATION
    assert await can_connect(other, token) == 401


@pytest.mark.requirement("SEC-GW-4")
async def test_a_password_is_replaced_with_an_overlap(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    await add_tenant(root, "one", "ann", "first")
    path = "/api/tenants/ann/password"
    response = await root.put(path, json={"password": "second", "overlap": 3600})
    assert (response.status_code, response.json()) == (
        200,
        {"message": "Password changed", "tenant_id": "one", "username": "ann"},
    )
    assert [await status(gateway, basic("ann", word)) for word in ("first", "second")] == [200, 200]
    # The third replaces both
    await succeed(root.put(path, json={"password": "third"}))
    words = ("first", "second", "third")
    assert [await status(gateway, basic("ann", word)) for word in words] == [401, 401, 200]
    kept = await dump(store, "tenants") + (await root.get("/api/v1/audit")).text
    assert not [word for word in words if word in kept]


@pytest.mark.requirement("SEC-GW-10")
async def test_a_new_password_closes_connections_with_the_old_one(
    gateway: RunningGateway, root: httpx.AsyncClient
) -> None:
    await add_tenant(root, "one", "ann", "first")
    async with protocol_client(gateway, basic("ann", "first")) as connected:
        await succeed(root.put("/api/tenants/ann/password", json={"password": "second"}))
        with pytest.raises(ConnectionClosed) as closed:
            await connected.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == POLICY_VIOLATION


@pytest.mark.parametrize(
    ("username", "body", "status"),
    [
        ("ann", {"password": ""}, 400),
        ("ann", {}, 400),
        ("ann", {"password": "x", "overlap": -1}, 400),
        ("ann", {"password": "x", "overlap": 1e9}, 400),
        ("ann", {"password": "x", "old": "first"}, 400),
        ("nobody", {"password": "x"}, 404),
    ],
)
async def test_invalid_passwords_are_refused(
    gateway: RunningGateway,
    root: httpx.AsyncClient,
    username: str,
    body: dict[str, object],
    status: int,
) -> None:
    await add_tenant(root, "one", "ann", "first")
    assert (await root.put(f"/api/tenants/{username}/password", json=body)).status_code == status
    assert await can_connect(gateway, basic("ann", "first")) == 101


async def test_a_gateway_without_tenants_has_no_passwords_of_tenants(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(admin=ADMIN)
    async with client(gateway, ROOT) as root:
        response = await root.put("/api/tenants/ann/password", json={"password": "x"})
        assert response.status_code == 404
        assert "no tenants" in response.json()["error"]
