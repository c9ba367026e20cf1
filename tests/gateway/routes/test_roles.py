"""Every route with a token of every role, on allowed and forbidden queues and types: 403 exactly where the table of
the requirements says so."""

from __future__ import annotations

import contextlib

import httpx
import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import Action
from asynqio.core.access.roles import Role
from tests.gateway.rest.admin import client
from tests.gateway.routes.conftest import token_of
from tests.gateway.routes.requests import prepare, send
from tests.gateway.routes.table import (
    OTHER_QUEUE,
    OTHER_TYPE,
    PERMITTED,
    QUEUE,
    ROUTES,
    TYPE,
    Reach,
    is_denied,
    new_case,
)
from tests.gateway.running import RunningGateway


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.requirement("SEC-GW-7")
@pytest.mark.parametrize("typed", [False, True], ids=["all types", "one type"])
@pytest.mark.parametrize("role", Role)
async def test_each_role_may_do_what_the_table_says(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store, role: Role, typed: bool
) -> None:
    async with client(gateway, await token_of(root, role, typed=typed)) as http:
        for route, row in ROUTES.items():
            for queue, type in ((QUEUE, TYPE), (OTHER_QUEUE, TYPE), (QUEUE, OTHER_TYPE)):
                case = await prepare(store, root, route, new_case(queue, type))
                response = await send(http, route, case)
                expected = row.status
                if is_denied(
                    role, row, other_queue=queue is OTHER_QUEUE, other_type=type is OTHER_TYPE, typed=typed
                ):
                    hidden = row.reach is Reach.HIDDEN and role in PERMITTED[row.action or Action.READ]
                    expected = 404 if hidden else 403
                assert response.status_code == expected, f"{route} {case}: {response.text}"
                if role not in PERMITTED[Action.READ_PAYLOAD]:
                    assert "SECRET" not in response.text
                if expected in (403, 404):
                    assert case.id not in response.text.replace(f"'{case.id}'", "")


@pytest.mark.requirement("SEC-GW-5")
async def test_a_batch_with_one_forbidden_job_creates_none_and_names_it(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    good = {"type": "email:send", "queue": "mail-1", "payload": 1}
    async with client(gateway, await token_of(root, Role.PRODUCER, typed=True)) as http:
        for bad in ({**good, "queue": "other"}, {**good, "type": "sms:send"}):
            response = await http.post("/api/v1/jobs/batch", json=[good, good, bad, good])
            assert response.status_code == 403
            assert "item 2" in response.json()["error"]
    assert await store.queues() == []


@pytest.mark.requirement("SEC-GW-1")
async def test_a_role_that_reads_lists_only_what_it_may_see(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    route = ("GET", "/api/queues/{queue:str}/tasks")
    seen = await prepare(store, root, route, new_case())
    hidden = await prepare(store, root, route, new_case(OTHER_QUEUE))
    other = await prepare(store, root, route, new_case(QUEUE, OTHER_TYPE))
    async with contextlib.AsyncExitStack() as stack:
        token = await token_of(root, Role.VIEWER, typed=True)
        http = await stack.enter_async_context(client(gateway, token))
        queues = (await http.get("/api/queues")).text
        assert seen.queue in queues
        assert hidden.queue not in queues
        assert [task["id"] for task in (await send(http, route, seen)).json()["tasks"]] == [seen.id]
        assert (await send(http, route, other)).json()["tasks"] == []
