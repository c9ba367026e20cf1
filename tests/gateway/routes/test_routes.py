"""Every route of the router declares who may use it, refuses anonymous callers, and records administrative acts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.core.access.actions import Action
from asynqio.core.access.roles import ACTIONS, Role
from asynqio.core.task.message import TaskState
from asynqio.gateway.principals.credentials import Basic
from tests.gateway.conftest import StartGateway
from tests.gateway.principals.helpers import dump
from tests.gateway.rest.admin import ADMIN, ROOT, can_connect, client, succeed
from tests.gateway.routes.conftest import token_of
from tests.gateway.routes.requests import add_task, prepare, send
from tests.gateway.routes.table import (
    AUDITED,
    PERMITTED,
    PUBLIC,
    ROUTES,
    WEBSOCKETS,
    new_case,
    path_of,
    routes_of,
)
from tests.gateway.running import RunningGateway

USER = Basic("ann", "of-ann")


async def snapshot(store: Store) -> Any:
    """All that requests could change: tasks, queues, tenants and tokens."""
    queues = await store.queues()
    stats = [(one.queue, one.size, one.paused, one.processed) for one in await store.stats(queues)]
    tasks = [await store.tasks(Where(queue, state), Page(1000)) for queue in queues for state in TaskState]
    return stats, tasks, await dump(store, "tenants", "tokens")


@pytest.mark.requirement("SEC-GW-1")
async def test_every_route_declares_who_may_use_it_and_has_a_row(gateway: RunningGateway) -> None:
    seen: set[tuple[str, str]] = set()
    for method, path, opt in routes_of(gateway.app):
        if method == "OPTIONS":
            continue
        if path in PUBLIC:
            assert (method, opt) == ("GET", {"public": True})
        elif method == "WEBSOCKET":
            assert path in WEBSOCKETS
            assert opt == {"signed_in": True}
        else:
            assert opt == {"action": ROUTES[method, path].action}
            seen.add((method, path))
    assert seen == set(ROUTES), "a row without a route"


@pytest.mark.requirement("SEC-GW-5")
def test_the_roles_are_those_of_the_requirements() -> None:
    assert set(PERMITTED) == set(Action)
    for role in Role:
        assert ACTIONS[role] == {action for action, roles in PERMITTED.items() if role in roles}


@pytest.mark.requirement("SEC-GW-1")
@pytest.mark.requirement("SEC-GW-14")
@pytest.mark.parametrize("mode", ["user", "user alone", "tenants", "administrator"])
async def test_anonymous_callers_are_refused_and_change_nothing(
    start_gateway: StartGateway, store: Store, tenant_file: str, mode: str
) -> None:
    modes: dict[str, dict[str, Any]] = {
        "user": {"user": USER, "admin": ADMIN},
        # Without an administrator, those on its own machine may manage a gateway, unless a proxy may have sent them
        "user alone": {"user": USER, "trusted_proxies": ("203.0.113.1",)},
        "tenants": {"tenant_config": tenant_file, "admin": ADMIN},
        "administrator": {"admin": ADMIN},
    }
    gateway = await start_gateway(**modes[mode])
    case = new_case()
    await add_task(store, case)
    before = await snapshot(store)
    async with client(gateway) as http:
        for route, row in ROUTES.items():
            if mode == "administrator" and row.action not in (
                Action.MANAGE_TENANTS,
                Action.MANAGE_TOKENS,
                Action.READ_AUDIT,
            ):
                continue  # a gateway without users: everybody works with its tasks
            response = await send(http, route, case)
            assert response.status_code == 401, f"{route}: {response.text}"
            assert response.headers["www-authenticate"].startswith("Basic ")
            assert case.queue not in response.text
        for method, path, _ in routes_of(gateway.app):
            if (
                method == "OPTIONS"
            ):  # the router's own answer, the same for everybody: the methods of the route
                options = await http.options(path_of(path, case))
                assert (options.status_code, options.content) == (204, b""), path
        for path in PUBLIC:
            assert (await http.get(path)).text == "OK"
    for path in WEBSOCKETS:
        assert await can_connect(gateway, "", path) == (101 if mode == "administrator" else 401)
    assert await snapshot(store) == before


async def test_a_known_principal_may_ask_for_the_methods_of_a_route(root: httpx.AsyncClient) -> None:
    for path in ("/api/tenants", "/api/queues/mail/tasks"):
        response = await root.options(path)
        assert response.status_code == 204
        assert "GET" in response.headers["allow"]


# --- the audit log --------------------------------------------------------------------------------


async def records(root: httpx.AsyncClient) -> dict[str, list[dict[str, Any]]]:
    """All audit records, by the id of the request."""
    found: dict[str, list[dict[str, Any]]] = {}
    page = await succeed(root.get("/api/v1/audit", params={"limit": 1000}))
    assert page["next"] is None
    for numbered in page["records"]:
        found.setdefault(numbered["record"]["request_id"], []).append(numbered["record"])
    return found


@pytest.mark.requirement("SEC-AUD-1")
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_each_administrative_act_writes_one_record(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store, route: tuple[str, str]
) -> None:
    case = await prepare(store, root, route, new_case())
    missing = new_case()._replace(id="nothing")
    async with (
        client(gateway) as anonymous,
        client(gateway, await token_of(root, Role.MONITOR)) as monitor,
    ):
        sent = {
            "anonymous": await send(anonymous, route, case),
            "refused": await send(monitor, route, case),
            "done": await send(root, route, case),
            "failed": await send(root, route, missing),
            "no JSON": await root.request(route[0], path_of(route[1], missing), content=b"{"),
        }
    statuses = {name: response.status_code for name, response in sent.items()}
    assert (statuses["anonymous"], statuses["refused"]) == (401, 403)
    assert statuses["done"] == ROUTES[route].status, sent["done"].text
    assert max(statuses.values()) < 500
    found = await records(root)
    for name, response in sent.items():
        own = found.get(response.headers["x-request-id"], [])
        if route not in AUDITED:
            assert own == []
            continue
        [record] = own
        assert record["status"] == response.status_code
        assert record["action"] == ROUTES[route].action
        assert record["request"].startswith(f"{route[0]} /api/")
        assert record["address"] == "127.0.0.1"
        assert (record.get("actor", ""), record.get("kind", "")) == {
            "anonymous": ("", ""),
            "refused": ("monitor", "token"),
        }.get(name, ("root", "admin"))
        assert "SECRET" not in str(record)


@pytest.mark.requirement("SEC-AUD-1")
async def test_records_say_what_was_changed(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    case = await prepare(store, root, ("PUT", "/api/tenants/{username:str}/password"), new_case())
    tasks = f"/api/queues/{case.queue}/tasks"
    await succeed(root.post(f"{tasks}/requeue", params={"state": "scheduled"}))
    await succeed(root.put(f"/api/tenants/{case.id}/password", json={"password": "y", "overlap": 5}))
    made = await succeed(root.post("/api/v1/tokens", json={"name": "ci", "role": "viewer"}))
    details = [record["details"] for [record] in (await records(root)).values()]
    assert details == [
        {"name": "ci", "role": "viewer", "token": made["details"]["id"]},
        {"overlap": 5.0},
        {"state": "scheduled", "count": 1},
        {"id": case.id, "username": case.id, "queue_prefix": case.id},
    ]
    assert ROOT not in str(details)
