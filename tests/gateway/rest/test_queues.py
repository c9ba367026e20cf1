"""The REST API of asynq-server: queues and tasks, before each store."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from asynqio import Client, Task, TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action

#: Every key of a queue, and the type of its value.
QUEUE = {
    "queue": str,
    "memory_usage_bytes": int,
    "size": int,
    "groups": int,
    "latency_msec": int,
    "display_latency": str,
    "active": int,
    "pending": int,
    "aggregating": int,
    "scheduled": int,
    "retry": int,
    "archived": int,
    "completed": int,
    "processed": int,
    "succeeded": int,
    "failed": int,
    "paused": bool,
    "timestamp": str,
}
#: Every key of a task; those that are null for a fresh one.
NULL = {"last_err", "last_failed_at", "completed_at", "deadline", "group"}
TASK = {"id", "queue", "task_type", "state", "max_retry", "retried", "next_process_at", "is_orphaned", *NULL}


async def error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body["status"] == status
    return str(body["error"])


async def test_queues_are_listed_with_every_key(http: httpx.AsyncClient, store: Store) -> None:
    assert (await http.get("/api/queues")).json() == {"queues": []}
    await Client(store).enqueue_many([Task("t", queue="b"), Task("t", queue="a"), Task("t", queue="a")])
    body = (await http.get("/api/queues")).json()
    assert [(queue["queue"], queue["pending"], queue["size"]) for queue in body["queues"]] == [
        ("a", 2, 2),
        ("b", 1, 1),
    ]
    assert {key: type(value) for key, value in body["queues"][0].items()} == QUEUE
    assert (await http.get("/api/queues/b")).json()["pending"] == 1


async def test_an_unknown_queue_is_not_found(http: httpx.AsyncClient) -> None:
    for path in ("/api/queues/nix", "/api/queues/nix/tasks"):
        assert await error(await http.get(path), 404) == "there is no queue 'nix'"


async def test_tasks_are_listed_by_page(http: httpx.AsyncClient, store: Store) -> None:
    await Client(store).enqueue_many([Task("t", task_id=str(number)) for number in range(5)])
    body = (await http.get("/api/queues/default/tasks", params={"page": 1, "size": 2})).json()
    assert [task["id"] for task in body.pop("tasks")] == ["2", "3"]
    assert body == {"state": "pending", "queue": "default", "page": 1, "size": 2}
    [task] = (await http.get("/api/queues/default/tasks", params={"page": -1, "size": 0})).json()["tasks"]
    assert set(task) == TASK
    assert {key for key, value in task.items() if value is None} == NULL
    assert (await http.get("/api/queues/default/tasks", params={"state": "odd"})).json()["state"] == "odd"
    await error(await http.get("/api/queues/default/tasks", params={"page": "x"}), 400)


async def test_a_task_is_archived_run_and_deleted(http: httpx.AsyncClient, store: Store) -> None:
    info = await Client(store).enqueue(Task("t", task_id="one"))

    async def state() -> TaskState | None:
        [found] = await store.find([info.ref])
        return None if found is None else found.state

    base = "/api/queues/default/tasks/one"
    assert (await http.post(f"{base}/archive")).json().keys() == {"message"}
    assert await state() is TaskState.ARCHIVED
    await error(await http.post(f"{base}/archive"), 409)
    assert (await http.post(f"{base}/run")).status_code == 200
    assert await state() is TaskState.PENDING
    assert (await http.delete(base)).status_code == 200
    assert await state() is None
    assert "no task 'one'" in await error(await http.delete(base), 404)


async def test_many_tasks_are_requeued_and_deleted(http: httpx.AsyncClient, store: Store) -> None:
    infos = await Client(store).enqueue_many([Task("t") for _ in range(3)])
    await store.move(Action.ARCHIVE, [info.ref for info in infos if not isinstance(info, Exception)])
    base = "/api/queues/default/tasks"
    assert (await http.post(f"{base}/requeue", params={"state": "archived"})).json()["count"] == 3
    assert (await http.delete(base, params={"state": "pending"})).json()["count"] == 3
    for response in (
        await http.delete(base, params={"state": "active"}),
        await http.delete(base),
        await http.post(f"{base}/requeue", params={"state": "pending"}),
        await http.post(f"{base}/requeue"),
    ):
        assert "state" in await error(response, 400)


async def test_a_queue_is_paused_and_resumed(http: httpx.AsyncClient, store: Store) -> None:
    await Client(store).enqueue(Task("t"))
    for action, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        assert (await http.post(f"/api/queues/default/{action}")).status_code == 200
        [stats] = await store.stats(["default"])
        assert stats.paused is paused


@pytest.mark.parametrize(
    ("path", "body"), [("/health", "OK"), ("/health/live", "OK"), ("/health/ready", "OK")]
)
async def test_health_needs_no_credentials(http: httpx.AsyncClient, path: str, body: Any) -> None:
    response = await http.get(path)
    assert (response.status_code, response.text) == (200, body)


async def test_unknown_paths_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    await error(await http.get("/api/nix"), 404)
    await error(await http.put("/api/queues"), 405)
    await error(await http.get("/ws"), 426)
