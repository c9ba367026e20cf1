"""Tenants use the same names and notice nothing of each other; they are added and removed while gateways run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from asynqio import Client, Task
from asynqio.brokers.contract.broker import Store
from asynqio.gateway.asgi import POLICY_VIOLATION
from tests.gateway.conftest import StartGateway
from tests.gateway.rest.admin import ROOT, basic, can_connect, client, protocol_client, succeed
from tests.gateway.running import RunningGateway
from tests.gateway.tenants.conftest import TENANTS, add_tenant

#: Longest wait in seconds for a change to arrive: one second is promised, but the machine may be busy.
TIMEOUT = 20.0
ANN, BOB = (basic(name, name) for name in TENANTS.values())


def server_state(**worker: object) -> dict[str, object]:
    """What a consumer sends to register itself."""
    server = {"host": "h", "pid": 1, "server_id": "s"}
    workers = [{**server, "task_payload": "", **worker}] if worker else []
    return {
        **server,
        "concurrency": 1,
        "queues": {"default": 1},
        "strict_priority": False,
        "status": "active",
        "active_worker_count": len(workers),
        "ttl_seconds": 10,
        "workers": workers,
    }


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.requirement("SEC-GW-7")
async def test_tenants_use_the_same_names_side_by_side(gateway: RunningGateway, store: Store) -> None:
    await Client(store).enqueue(Task("direct", task_id="one"))
    async with (
        protocol_client(gateway, ANN) as ann,
        protocol_client(gateway, BOB) as bob,
        client(gateway, ANN) as ann_http,
        client(gateway, BOB) as bob_http,
    ):
        for tenant, http in ((ann, ann_http), (bob, bob_http)):
            for name in ("one", "two"):
                await tenant.enqueue(task_id=name)
            await tenant.enqueue("enqueue_unique", task_id="lock", task_type="sms", ttl_seconds=600)
            again = {"task_type": "sms", "payload": "eyJ0byI6ImFAYi5jIn0=", "ttl_seconds": 600}
            assert await tenant.error("enqueue_unique", again) == "Broker error: Task already exists"
            await tenant.enqueue("add_to_group", task_id="member", group="g")
            assert (await tenant.call("list_groups", {"queue": "default"}))["data"] == ["g"]
            await tenant.succeed("write_server_state", server_state())
            [queue] = (await succeed(http.get("/api/queues")))["queues"]
            assert (queue["queue"], queue["pending"], queue["groups"]) == ("default", 3, 1)
            job = {"payload": 1, "idempotency_key": "k", "queue": "jobs"}
            assert (await http.post("/api/v1/jobs", json=job)).status_code == 201
        # What the one does, the other does not notice
        await ann.end("done", await ann.take())
        held = await bob.take()
        assert held["id"] == "one"
        assert await ann.call("publish_cancellation", {"task_id": "one"}) == {"type": "success"}
        assert (await ann.take())["id"] == "two"
        await ann.succeed("publish_cancellation", {"task_id": "two"})
        assert (await ann.receive())["data"] == {"task_id": "two"}
        assert await bob.call("ping") == {"type": "pong"}
        assert bob.pushed == []
        await succeed(ann_http.post("/api/queues/default/pause"))
        await succeed(ann_http.delete("/api/queues/default/tasks", params={"state": "pending"}))
        assert await ann.dequeue() is None
        assert (await bob.take())["id"] == "two"
        mine = await succeed(bob_http.get("/api/queues/default"))
        assert (mine["paused"], mine["active"], mine["pending"], mine["processed"]) == (False, 2, 1, 0)
        servers = {server.id for server in await store.servers()}
        assert len([id for id in servers if id.endswith("h:1:s")]) == 2
        assert "NOT" in await ann.error("done", {**ended(held), "queue": "ab:default"})
        await bob.end("done", held)
    [direct] = await store.stats(["default"])
    assert (direct.pending, direct.size, direct.paused) == (1, 1, False)
    assert set(await store.queues()) == {"default", "a:default", "a:jobs", "ab:default", "ab:jobs"}


def ended(task: dict[str, Any]) -> dict[str, Any]:
    return {"task_id": task["id"], "task_type": task["task_type"], "payload": task["payload"]}


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.requirement("SEC-GW-14")
async def test_a_tenant_added_at_run_time_is_known_to_other_gateways_and_after_a_restart(
    gateway: RunningGateway, start_gateway: StartGateway, settings: dict[str, Any], store: Store
) -> None:
    other = await start_gateway(**settings)
    await add_tenant(gateway, "new", "zoe")
    async with client(other, ROOT) as root, asyncio.timeout(TIMEOUT):
        while "tenant-new" not in (await succeed(root.get("/api/tenants")))["tenants"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    async with protocol_client(other, basic("zoe", "zoe")) as zoe:
        await zoe.enqueue(task_id="kept")
    for running in (gateway, other):
        await asyncio.to_thread(running.stop)
    restarted = await start_gateway(**settings)
    async with protocol_client(restarted, basic("zoe", "zoe")) as zoe:
        assert (await zoe.take())["id"] == "kept"


@pytest.mark.requirement("SEC-GW-10")
@pytest.mark.requirement("SEC-GW-14")
async def test_a_removed_tenant_is_disconnected_everywhere_and_its_tasks_stay(
    gateway: RunningGateway, start_gateway: StartGateway, settings: dict[str, Any], store: Store
) -> None:
    other = await start_gateway(**settings)
    async with (
        protocol_client(gateway, ANN) as here,
        protocol_client(other, ANN) as there,
        protocol_client(other, BOB) as bob,
        client(gateway, ROOT) as root,
    ):
        for number, connected in enumerate((here, there)):
            await connected.enqueue(task_id=str(number))
            await connected.take()
        await succeed(root.delete("/api/tenants/ann"))
        for connected in (here, there):
            with pytest.raises(ConnectionClosed) as closed:
                await connected.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == POLICY_VIOLATION
        assert [await can_connect(one, ANN) for one in (gateway, other)] == [401, 401]
        assert await bob.call("ping") == {"type": "pong"}
    async with asyncio.timeout(TIMEOUT):
        while (await store.stats(["a:default"]))[0].pending < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
