"""Both sides report the same queues, tasks and servers; every field is compared."""

from __future__ import annotations

import socket
import time

import msgspec
import pytest

from asynqio import Inspector, ServerInfo
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.peers import GoInspector
from tests.interop.support.views import GoOptions, GoServerInfo, GoTask
from tests.interop.support.waiting import until


def settled(task: GoTask) -> GoTask:
    """Without fields that depend on the time of the query: the next time of a pending task is always now."""
    if task.state == "pending":
        assert task.next_process_at == pytest.approx(time.time(), abs=3)
        return msgspec.structs.replace(task, next_process_at=None)
    return task


async def fill(producer: Side, worker: Side) -> None:
    """A queue with tasks in every state, and one with other options."""
    options: GoOptions = {"headers": {"k": "v"}, "max_retry": 7, "timeout": 120.0}
    kept: GoOptions = {**options, "retention": 900.0}
    async with producer.client() as client:
        async with worker.server(concurrency=1, retry_delay=600) as server:
            for number in range(3):
                for type, word, given in (
                    ("result", "completed", kept),
                    ("fail", "retry", options),
                    ("skip", "archived", options),
                ):
                    given["task_id"] = f"{word}-{number}"
                    await client.enqueue(type, b"data", **given)
                for word in ("completed", "retry", "archived"):
                    await server.event("ended", id=f"{word}-{number}")
            await server.terminate()
        at = float(int(time.time()) + 600)
        for number in range(3):
            await client.enqueue(
                "ok", bytes([200 + number]), task_id=f"scheduled-{number}", process_at=at + number, unique=60
            )
            await client.enqueue("ok", b"g", task_id=f"grouped-{number}", group="g:1", retention=60)
            await client.enqueue("ok", None, task_id=f"pending-{number}", deadline=at)


STATES = ["pending", "active", "scheduled", "retry", "archived", "completed"]


async def test_every_field_of_every_task_is_the_same_for_both(
    producer: Side, worker: Side, go: Go, ours: Ours
) -> None:
    await fill(producer, worker)
    async with (
        go.inspector() as theirs,
        ours.inspector() as mine,
        producer.client() as client,
        worker.server(concurrency=2, queues={"busy": 1}) as server,
    ):
        for number in range(2):
            await client.enqueue("sleep:60000", b"x", task_id=f"active-{number}", queue="busy", timeout=99)
            await server.event("started", id=f"active-{number}")
        found = []
        for queue in ("default", "busy"):
            for state in STATES:
                expected = [settled(task) for task in await theirs.tasks(queue, state)]
                seen = [settled(task) for task in await mine.tasks(queue, state)]
                if state in ("archived", "completed"):
                    expected.reverse()  # Go documents latest first but returns latest last (B29)
                assert seen == expected
                found += [task.id for task in seen]
            for id in found:
                if id.startswith("active") == (queue == "busy"):
                    assert settled(await mine.task(queue, id)) == settled(await theirs.task(queue, id))
        grouped = await theirs.tasks("default", "aggregating", "g:1")
        assert await mine.tasks("default", "aggregating", "g:1") == grouped
        found += [task.id for task in grouped]
        words = ["pending", "scheduled", "retry", "archived", "completed", "grouped"]
        assert sorted(found) == sorted(
            [*(f"{word}-{number}" for word in words for number in range(3)), "active-0", "active-1"]
        )


async def test_pages_have_the_same_boundaries(producer: Side, worker: Side, go: Go, ours: Ours) -> None:
    await fill(producer, worker)
    async with go.inspector() as theirs, ours.inspector() as mine:
        for state in ("pending", "scheduled", "retry"):
            for page in (1, 2, 3):
                expected = [task.id for task in await theirs.tasks("default", state, size=2, page=page)]
                assert [task.id for task in await mine.tasks("default", state, size=2, page=page)] == expected
                assert len(expected) == [2, 1, 0][page - 1]


async def test_statistics_are_equal(producer: Side, worker: Side, go: Go, ours: Ours) -> None:
    await fill(producer, worker)
    async with go.inspector() as theirs, ours.inspector() as mine:
        assert await mine.queues() == await theirs.queues() == ["default"]
        expected, seen = await theirs.queue("default"), await mine.queue("default")
        for name in expected.__struct_fields__:
            if name == "latency":
                assert seen.latency == pytest.approx(expected.latency, abs=0.5)
            elif name not in ("memory_usage", "timestamp"):
                assert getattr(seen, name) == getattr(expected, name), name
        assert (expected.pending, expected.retry, expected.aggregating, expected.groups) == (3, 3, 3, 1)
        assert (expected.processed, expected.failed) == (9, 6)
        assert await mine.history("default", 3) == await theirs.history("default", 3)
        assert await mine.groups("default") == await theirs.groups("default")


async def busy(inspector: GoInspector) -> list[GoServerInfo]:
    return [info for info in await inspector.servers() if info.active_workers]


async def working(inspector: Inspector) -> list[ServerInfo]:
    return [server for server in await inspector.servers() if server.workers]


async def test_go_lists_an_asynqio_server_and_its_tasks(go: Go, ours: Ours) -> None:
    queues = {"critical": 6, "low": 2}
    async with (
        ours.server(concurrency=3, queues=queues, strict=True) as server,
        go.client() as client,
        go.inspector() as inspector,
    ):
        started = time.time()
        await client.enqueue("sleep:60000", b"\xffx", task_id="a", queue="low", timeout=500)
        seen = (await server.event("started", id="a")).seen
        [info] = await until("it shows at the next heartbeat", lambda: busy(inspector))
        assert (info.host, info.pid, info.status) == (socket.gethostname(), server.pid, "active")
        assert (info.concurrency, info.queues, info.strict) == (3, queues, True)
        assert info.started == pytest.approx(started, abs=5)
        [worker] = info.active_workers
        assert (worker.task_id, worker.task_type, worker.queue) == ("a", "sleep:60000", "low")
        assert worker.task_payload == b"\xffx"
        assert worker.started == pytest.approx(started, abs=5)
        assert worker.deadline == pytest.approx(seen.deadline, abs=1)
        await client.enqueue("ok", queue="low", task_id="b")
        await server.event("ended", id="b")
        await inspector.cancel("a")
        await server.event("failed", id="a")
        assert await server.terminate() == 0
        assert await inspector.servers() == []


async def test_asynqio_lists_a_go_server_and_its_tasks(go: Go, ours: Ours) -> None:
    queues = {"critical": 6, "low": 2}
    async with (
        go.server(concurrency=3, queues=queues, strict=True) as server,
        go.client() as client,
        Inspector(ours.url) as inspector,
    ):
        started = time.time()
        await client.enqueue("sleep:60000", b"x", task_id="a", queue="low", timeout=500)
        seen = (await server.event("started", id="a")).seen
        [server_info] = await until(
            "it shows at the next heartbeat, after up to 5 s", lambda: working(inspector)
        )
        assert (server_info.host, server_info.pid, server_info.status) == (
            socket.gethostname(),
            server.pid,
            "active",
        )
        assert (server_info.concurrency, server_info.queues, server_info.strict_priority) == (3, queues, True)
        assert server_info.started_at == pytest.approx(started, abs=5)
        [worker] = server_info.workers
        assert (worker.id, worker.type, worker.queue) == ("a", "sleep:60000", "low")
        assert worker.started_at == pytest.approx(started, abs=5)
        assert worker.deadline == pytest.approx(seen.deadline or 0, abs=1)
        await inspector.cancel("a", queue="low")
        await server.event("failed", id="a")
        assert await server.terminate() == 0
        assert await inspector.servers() == []


async def test_the_asynq_command_shows_queues_and_servers_of_asynqio(go: Go, ours: Ours) -> None:
    async with ours.client() as client, ours.server(queues={"mail": 3}, concurrency=7) as server:
        await client.enqueue("skip", b"x", queue="mail", task_id="gone")
        await server.event("failed", id="gone")
        await client.enqueue("ok", b"later", queue="mail", task_id="later", process_in=600)
        await client.enqueue("sleep:60000", queue="mail", task_id="long")
        await server.event("started", id="long")
        assert "mail" in (await go.cli("queue", "ls")).splitlines()
        [row] = [line for line in (await go.cli("server", "ls")).splitlines() if str(server.pid) in line]
        assert row.split()[:2] == [socket.gethostname(), str(server.pid)]
        assert "active" in row
        assert "mail:3" in row
        stats = await go.cli("stats", "--json")
        assert '"mail"' in stats
        assert "scheduled" in await go.cli("queue", "inspect", "mail")
        assert "later" in await go.cli("task", "ls", "--queue", "mail", "--state", "scheduled")
        assert "gone" in await go.cli("task", "ls", "--queue", "mail", "--state", "archived")
        assert "long" in await go.cli("task", "ls", "--queue", "mail", "--state", "active")
        inspected = await go.cli("task", "inspect", "--queue", "mail", "--id", "later")
        assert "scheduled" in inspected


async def test_the_asynq_command_pauses_queues_and_runs_tasks(go: Go, ours: Ours) -> None:
    async with ours.client() as client, ours.server() as server, ours.inspector() as inspector:
        await client.enqueue("ok", b"later", task_id="later", process_in=600)
        await go.cli("queue", "pause", "default")
        assert (await inspector.queue("default")).paused
        await go.cli("task", "run", "--queue", "default", "--id", "later")
        assert (await inspector.task("default", "later")).state == "pending"
        await go.cli("queue", "unpause", "default")
        await server.event("ended", id="later")
