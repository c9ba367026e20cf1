"""The first routes of the Job API, before each store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from asynqio import Mux, Server, SkipRetry, Task
from asynqio.brokers.contract.broker import Store

JSON = {"content-type": "application/json"}


async def create(http: httpx.AsyncClient, status: int = 201, **job: object) -> Any:
    response = await http.post("/api/v1/jobs", json=job)
    assert response.status_code == status, response.text
    return response.json()


async def test_a_job_is_created_and_shown(http: httpx.AsyncClient) -> None:
    text = '{"payload":{"name":"Ann","price":1.50,"big":123456789012345678901234567890},"type":"greet"}'
    response = await http.post("/api/v1/jobs", content=text, headers=JSON)
    body = response.json()
    assert (response.status_code, body["status"]) == (201, "queued")
    assert response.headers["location"] == f"/api/v1/jobs/{body['job_id']}"
    shown = await http.get(response.headers["location"])
    assert '"payload":{"name":"Ann","price":1.50,"big":123456789012345678901234567890}' in shown.text
    job = shown.json()
    assert (job["id"], job["status"], job["queue"], job["type"]) == (
        body["job_id"],
        "pending",
        "default",
        "greet",
    )
    assert (job["max_retries"], job["attempts"], job["priority"], job["locked_by"]) == (3, 0, "normal", "")
    assert (job["timeout_seconds"], job["retention_seconds"]) == (1800, 86400)


async def test_the_result_is_awaited(http: httpx.AsyncClient, store: Store) -> None:
    async def greet(task: Task) -> object:
        return {"hello": task.load()["name"]}

    async def fail(task: Task) -> None:
        raise SkipRetry("no such user")

    mux = Mux()
    mux.handle("greet", greet)
    mux.handle("fail", fail)
    good = await create(http, type="greet", payload={"name": "Ann"})
    bad = await create(http, type="fail", payload=None)
    pending = await http.get(f"/api/v1/jobs/{good['job_id']}/result", params={"wait": 0.05})
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    waiting = asyncio.create_task(http.get(f"/api/v1/jobs/{good['job_id']}/result", params={"wait": 30}))
    async with Server(store, concurrency=2).running(mux):
        done = await waiting
        failed = await http.get(f"/api/v1/jobs/{bad['job_id']}/result", params={"wait": 30})
    assert (done.status_code, done.json()) == (
        200,
        {"job_id": good["job_id"], "status": "completed", "result": {"hello": "Ann"}},
    )
    assert (failed.status_code, failed.json()["status"], failed.json()["error"]) == (
        200,
        "failed",
        "no such user",
    )
    job = (await http.get(f"/api/v1/jobs/{good['job_id']}")).json()
    assert (job["status"], job["attempts"]) == ("completed", 1)
    assert job["finished_at"].endswith("Z")


async def test_a_delayed_job_waits(http: httpx.AsyncClient) -> None:
    body = await create(http, payload=1, delay=3600)
    assert body["job"]["state"] == "scheduled"
    assert (await create(http, payload=1, run_at="2020-01-01T00:00:00Z"))["job"]["state"] == "pending"


@pytest.mark.parametrize(
    ("job", "text"),
    [
        ({}, "payload"),
        ({"payload": 1, "typ": "x"}, "typ"),
        ({"payload": 1, "queue": 7}, "queue: "),
        ({"payload": 1, "queue": " "}, "queue"),
        ({"payload": 1, "max_retries": 101}, "max_retries: "),
        ({"payload": 1, "max_retries": 1.5}, "max_retries: "),
        ({"payload": 1, "run_at": "2027-01-01T00:00:00"}, "run_at: "),
        ({"payload": 1, "run_at": "2090-01-01T00:00:00Z"}, "run_at: "),
        ({"payload": 1, "run_at": "2027-01-01T00:00:00Z", "delay": 1}, "run_at and delay"),
        ({"payload": 1, "delay": -1}, "delay: "),
        ({"payload": 1, "priority": "urgent"}, "priority: "),
        ({"payload": 1, "idempotency_key": " "}, "idempotency_key: "),
        ({"payload": 1, "idempotency_key": "k" * 256}, "idempotency_key: "),
        ({"payload": 1, "headers": {"a": 1}}, "headers"),
        ({"payload": 1, "timeout_seconds": 0}, "timeout_seconds: "),
        ([], "Expected `object`"),
        (None, "Expected `object`"),
    ],
)
async def test_an_invalid_job_is_refused_by_the_name_of_its_field(
    http: httpx.AsyncClient, job: object, text: str
) -> None:
    response = await http.post("/api/v1/jobs", content=json.dumps(job), headers=JSON)
    assert response.status_code == 400, response.text
    assert text in response.json()["error"]
    assert (await http.get("/api/queues")).json() == {"queues": []}


@pytest.mark.parametrize(
    ("content", "type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"payload":NaN}', "application/json", 400),
        (b'{"payload":1,"payload":2}', "application/json", 400),
        (b'{"payload":{"a":1,"a":2}}', "application/json", 400),
        (b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b'{"payload":1}', "text/plain", 415),
        (b'{"payload":1}', "", 415),
        (b'{"payload":"' + b"x" * 1_048_577 + b'"}', "application/json", 413),
        (b" " * (16 * 1_048_576 + 1), "application/json", 413),
    ],
    ids=range(10),
)
async def test_a_body_that_is_no_job_is_refused(
    http: httpx.AsyncClient, content: bytes, type: str, status: int
) -> None:
    response = await http.post("/api/v1/jobs", content=content, headers={"content-type": type})
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert (await http.get("/health")).status_code == 200


async def test_one_key_creates_one_job(http: httpx.AsyncClient) -> None:
    first = await create(http, payload={"a": 1, "b": [1.0]}, idempotency_key="k")
    for headers, content in (
        ({}, '{"payload":{"b":[1.0],"a":1},"idempotency_key":"k"}'),
        ({"Idempotency-Key": "k"}, '{"payload":{"b":[1.0],"a":1}}'),
    ):
        again = await http.post("/api/v1/jobs", content=content, headers={**JSON, **headers})
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.json()["job_id"] == first["job_id"]
    for other in ({"payload": {"a": 2}}, {"payload": {"a": 1, "b": [1.0]}, "queue": "low"}):
        refused = await http.post("/api/v1/jobs", json=other, headers={"Idempotency-Key": "k"})
        assert refused.status_code == 422
        assert refused.json()["type"].endswith("#idempotency-key-reused")
    differs = await http.post(
        "/api/v1/jobs", json={"payload": 1, "idempotency_key": "a"}, headers={"Idempotency-Key": "b"}
    )
    assert differs.status_code == 400
    assert len((await http.get("/api/queues")).json()["queues"]) == 1


async def test_parallel_requests_with_one_key_create_one_job(http: httpx.AsyncClient) -> None:
    requests = [http.post("/api/v1/jobs", json={"payload": 1, "idempotency_key": "k"}) for _ in range(50)]
    responses = await asyncio.gather(*requests)
    assert sorted(response.status_code for response in responses) == [200] * 49 + [201]
    assert len({response.json()["job_id"] for response in responses}) == 1
    assert (await http.get("/api/queues/default")).json()["size"] == 1


async def test_a_batch_is_created_as_a_whole_or_not_at_all(http: httpx.AsyncClient) -> None:
    response = await http.post("/api/v1/jobs/batch", json=[{"payload": n} for n in range(1_000)])
    assert response.status_code == 201
    assert [one["job"]["payload"] for one in response.json()] == list(range(1_000))
    assert (await http.get("/api/queues/default")).json()["pending"] == 1_000
    for batch, text in (
        ([{"payload": 1}, {"payload": 1, "delay": -1}], "[1].delay"),
        ([{"payload": 1}, {"payload": 1, "queue": " "}], "[1]: "),
        ([{"payload": 1, "idempotency_key": "k"}], "[0].idempotency_key"),
        ([], "1 to 1000"),
        ([{"payload": 1}] * 1_001, "1 to 1000"),
    ):
        refused = await http.post("/api/v1/jobs/batch", json=batch)
        assert refused.status_code == 400
        assert text in refused.json()["error"]
    assert (await http.get("/api/queues/default")).json()["pending"] == 1_000


async def test_unknown_jobs_are_not_found(http: httpx.AsyncClient) -> None:
    await create(http, payload=1)
    for path in ("", "/result"):
        unknown = await http.get(f"/api/v1/jobs/01900000-0000-7000-8000-000000000000{path}")
        assert (unknown.status_code, unknown.json()["error"]) == (404, "job not found")
        assert (await http.get(f"/api/v1/jobs/nix{path}")).status_code == 400


async def test_a_job_is_found_in_any_queue(http: httpx.AsyncClient) -> None:
    jobs = [await create(http, payload=n, queue=f"q{n}") for n in range(20)]
    jobs.append(await create(http, payload=20, queue="q20", idempotency_key="k"))
    for number, job in enumerate(jobs):
        assert (await http.get(f"/api/v1/jobs/{job['job_id']}")).json()["payload"] == number
