"""Sends a request to any route of a gateway."""

from __future__ import annotations

import httpx

from asynqio import Client, Task
from asynqio.brokers.contract.broker import Store
from tests.gateway.rest.admin import succeed
from tests.gateway.routes.table import ROUTES, Case, path_of

LATER = 4_000_000_000.0


async def add_task(store: Store, case: Case) -> None:
    """Schedule the task of a case."""
    task = Task(case.type, b'"SECRET"', queue=case.queue, task_id=case.id, process_at=LATER, retention=60)
    await Client(store).enqueue(task)


async def prepare(store: Store, root: httpx.AsyncClient, route: tuple[str, str], case: Case) -> Case:
    """Create what a request about this case concerns: a task, a tenant, or a token with an
    id of its own."""
    await add_task(store, case)
    if "{username:str}" in route[1]:
        tenant = {"id": case.id, "username": case.id, "password": "x"}
        await succeed(root.post("/api/tenants", json=tenant))
    if "{token_id:str}" not in route[1]:
        return case
    made = await succeed(root.post("/api/v1/tokens", json={"name": "x", "role": "viewer"}))
    return case._replace(id=made["details"]["id"])


async def send(http: httpx.AsyncClient, route: tuple[str, str], case: Case) -> httpx.Response:
    """Send the request of a route."""
    method, path = route
    row = ROUTES[route]
    return await http.request(method, path_of(path, case), json=row.body(case), params={"state": row.state})
