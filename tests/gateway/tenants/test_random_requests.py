"""Random requests of one tenant change nothing of the others, and no answer tells of them.

`ASYNQIO_FUZZ_REQUESTS=100000` makes a long run, `ASYNQIO_FUZZ_SEED` another one.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from asynqio import Client, Task
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from tests.builders import server_info
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.rest.admin import ROOT, basic, client, protocol_client, succeed
from tests.gateway.routes.table import ROUTES
from tests.gateway.routes.test_protocol_roles import HELD, REQUESTS
from tests.gateway.running import RunningGateway
from tests.gateway.tenants.conftest import TENANTS

NUMBER = int(os.environ.get("ASYNQIO_FUZZ_REQUESTS", "2000"))
SEED = int(os.environ.get("ASYNQIO_FUZZ_SEED", "1"))
#: Requests after which the others are compared, and the connection is replaced.
ROUND = 250
ANN, BOB = (basic(name, name) for name in TENANTS.values())
#: In payloads and names of the others, never in a request: an answer that contains it, or its base64, has leaked.
CANARY, ENCODED = "SECRET", "U0VDUkVU"
#: The queues of the others, as they are stored.
OTHERS = ["ab:mail", f"ab:{CANARY}", "mail", "b:mail", "x:a:mail", "a"]
QUEUES = [
    "mail",
    "low",
    *(queue for queue in OTHERS if CANARY not in queue),
    *("", ":", "b:mail", ":b:mail", "../ab:mail", "ab", "}ab:mail", "{ab:mail}:x", "mail}:unique:x", "*"),
    *("a:mail", "a:ab:mail", "ab:mail\x00", "ab:mail ", "ａb:mail", "ab%3Amail", "mail/../ab:mail", "é" * 40),
]
IDS = ["one", "two", "lock", "member", "run", "old", "ab:one", "../one", "*", "", "x" * 300]
TYPES = ["work", "sms", "*", "", "ab:work", "é"]
GROUPS = ["g", "ab:g", "", "*", "{g}"]
PAYLOADS = ["", "MQ==", "AA==", "not base64!"]
STATES = [*TaskState, "odd", ""]
LATER = 4_000_000_000


async def fill(store: Store, queue: str) -> None:
    """Tasks in every state, a lock, a group, a running task and its server, in one queue of another tenant."""
    # The id of a job, which is looked for in all queues
    job = "00000000-0000-4000-8000-000000000001"
    user = Client(store)
    for id in ("one", "two", job, f"{CANARY}-id", "old", "run"):
        run_now = {} if id == "run" else {"process_at": LATER}
        options: dict[str, Any] = {"queue": queue, "task_id": id, "retention": 3600, **run_now}
        await user.enqueue(Task("work", CANARY.encode()), **options)
    [lease] = await store.dequeue([queue], 1, 86_400, f"host:1:{CANARY}")
    assert lease.message.id == "run"
    await user.enqueue(Task("sms", b"1"), queue=queue, task_id="lock", unique=3600, process_at=LATER)
    await user.enqueue(Task("work", CANARY.encode()), queue=queue, task_id="member", group="g")
    await store.move(Action.ARCHIVE, [TaskRef(queue, "old")])
    await store.beat(server_info(id=f"{CANARY}-{queue}", queues={queue: 1}), 86_400)


async def snapshot(store: Store) -> list[Any]:
    """All that the store holds of the others."""
    found: list[Any] = []
    for queue in OTHERS:
        [stats] = await store.stats([queue])
        found.append((queue, stats.size, stats.processed, stats.failed, stats.paused, stats.groups))
        for state in TaskState:
            found += await store.tasks(Where(queue, state), Page(1000))
        found.append(await store.lock_holder(queue, unique_key(queue, "sms", b"1")))
        found.append(await store.attempts([TaskRef(queue, "run"), TaskRef(queue, "old")]))
        found.append(await store.group_names(queue))
        found.append(await store.paused_types([queue]))
    servers = [server for server in await store.servers() if CANARY in server.id]
    return [*found, sorted((server.id, str(server.queues)) for server in servers)]


class Attacker:
    """A tenant that sends random requests of both protocols."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.choice
        self.jobs: list[str] = ["00000000-0000-4000-8000-000000000001", "nothing"]
        self.answered: dict[str, int] = {}
        #: What the connection has taken: queue and id of tasks, queue and id of batches.
        self.held: list[tuple[str, str]] = []
        self.batches: list[tuple[str, str]] = []

    def message(self) -> tuple[str, Any]:
        """A request of the asynq-server protocol, mostly with every field that it needs."""
        pick = self.pick
        name = pick([*REQUESTS, "dequeue", "dequeue"])
        if name in ("ping", "subscribe_cancellation"):
            return name, None
        server = {"host": pick(["h", "host"]), "pid": 1, "server_id": pick(["s", "/ab:s"])}
        worker = {"task_id": pick(IDS), "task_type": "work", "task_payload": "", "queue": pick(QUEUES)}
        data: dict[str, Any] = {
            **server,
            "task_type": pick(TYPES[:2]),
            "payload": pick(PAYLOADS[:3]),
            "queue": pick(QUEUES),
            "task_id": pick([*IDS, None]) if "queue" in name or "group" in name else pick(IDS),
            "headers": {},
            "max_retry": pick([0, 3]),
            "ttl_seconds": pick([0, 1, 600]),
            "process_at": pick([0, LATER]),
            "retention": pick([0, 60]),
            "group": pick(GROUPS[:2]),
            "set_id": pick(IDS),
            "queues": [pick(QUEUES) for _ in range(self.random.randint(0, 3))],
            "cutoff": LATER,
            "lease_duration_seconds": 30,
            "result": "MQ==",
            "error_msg": "x",
            "is_failure": pick([True, False]),
            "aggregation_delay_seconds": 0,
            "max_delay_seconds": 0,
            "max_size": 1,
            "concurrency": 1,
            "strict_priority": False,
            "status": "active",
            "active_worker_count": 1,
            "workers": [{**server, **worker}],
        }
        if name == "write_server_state":
            data["queues"] = dict.fromkeys(data["queues"], 1)
        elif REQUESTS[name].row is HELD and self.random.random() < 0.8:
            if self.held:
                data["queue"], data["task_id"] = pick(self.held[-2:])
            if self.batches and name == "delete_aggregation_set":
                data["queue"], data["set_id"] = pick(self.batches[-2:])
        elif self.random.random() < 0.1:
            data[pick(list(data))] = pick([*TYPES, *GROUPS, *PAYLOADS, None, -1, [], {}])
        return name, data

    async def send_message(self, tenant: ProtocolClient) -> None:
        name, data = self.message()
        answer = await tenant.call(name, data)
        self.check(name, json.dumps(answer))
        if answer["type"] == "dequeue_result" and answer["data"]:
            self.held.append((answer["data"]["queue"], answer["data"]["id"]))
        if answer["type"] == "aggregation_set_id" and answer["data"]:
            self.batches.append((data["queue"], answer["data"]))
        if answer["type"] != "error":
            self.answered[name] = self.answered.get(name, 0) + 1

    async def send_request(self, http: httpx.AsyncClient) -> None:
        method, path = route = self.pick(list(ROUTES))
        row = ROUTES[route]
        queue, id, type = self.pick(QUEUES), self.pick(IDS), self.pick(TYPES)
        job = self.pick(self.jobs)
        for name, value in {
            "queue": queue,
            "task_id": id,
            "job_id": job,
            "username": "bob",
            "token_id": id,
        }.items():
            path = path.replace("{" + name + ":str}", quote(value, safe=""))
        body: Any = {"payload": 1, "queue": queue, "type": type}
        if self.pick([True, False]):
            body["idempotency_key"] = self.pick(["k", "ab:k"])
        if path.endswith("batch"):
            body = [{"payload": 1, "queue": queue, "type": type}, body]
        sent = body if method in ("POST", "PUT") and row.json is not None else None
        params = {"state": self.pick(STATES), "page": "0", "size": "100"}
        response = await http.request(method, path, json=sent, params=params)
        assert response.status_code != 500, response.text
        self.check(f"{method} {path}", response.text)
        if response.is_success:
            key = " ".join(route)
            self.answered[key] = self.answered.get(key, 0) + 1
            if route == ("POST", "/api/v1/jobs"):
                self.jobs = [*self.jobs[-20:], self.jobs[0], response.json()["job_id"]]

    def check(self, request: str, answer: str) -> None:
        assert CANARY not in answer, f"{request}: {answer}"
        assert ENCODED not in answer, f"{request}: {answer}"


@pytest.mark.timeout(120 + NUMBER / 20)
@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.requirement("SEC-GW-7")
async def test_random_requests_of_a_tenant_reach_nothing_of_the_others(
    gateway: RunningGateway, store: Store
) -> None:
    for queue in OTHERS:
        await fill(store, queue)
    async with client(gateway, ROOT) as root:
        tenants = await succeed(root.get("/api/tenants"))
        before = await snapshot(store)
        attacker = Attacker(SEED)
        async with protocol_client(gateway, BOB) as bob:
            for start in range(0, NUMBER, ROUND):
                async with protocol_client(gateway, ANN) as ann, client(gateway, ANN) as http:
                    attacker.held, attacker.batches = [], []
                    for _ in range(min(ROUND, NUMBER - start)):
                        if attacker.random.random() < 0.5:
                            await attacker.send_message(ann)
                        else:
                            await attacker.send_request(http)
                assert await snapshot(store) == before, f"changed by requests {start} to {start + ROUND}"
            assert await bob.call("ping") == {"type": "pong"}
            assert bob.pushed == []
        assert await succeed(root.get("/api/tenants")) == tenants
    own = {queue for queue in await store.queues() if queue not in OTHERS}
    assert own
    assert all(queue.startswith("a:") for queue in own)
    if NUMBER >= 2000:
        assert set(REQUESTS) <= attacker.answered.keys(), "requests that never succeed test nothing"
