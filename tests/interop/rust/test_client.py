"""Tasks of a Rust client are run, read and changed by asynqio."""

from __future__ import annotations

import time

import pytest

from asynqio import Client, DuplicateTask, Inspector, Task, TaskNotFound, TaskState
from tests.interop.conftest import Ours
from tests.interop.rust.support.peers import Rust
from tests.interop.support.process import PeerError

PAYLOAD = bytes(range(256))


async def test_a_task_arrives_completely(rust: Rust, ours: Ours) -> None:
    """The crate writes the names of headers in lower case."""
    async with ours.server(queues={"mail:eu": 1}) as server, rust.client() as client:
        headers = {"traceparent": "00-1-2-03", "X-Shop": "a b"}
        info = await client.enqueue(
            "ok:mail", PAYLOAD, queue="mail:eu", headers=headers, max_retry=4, timeout=60, task_id="a b"
        )
        assert (info.id, info.queue, info.state) == ("a b", "mail:eu", "pending")
        before = time.time()
        seen = (await server.event("started", id="a b")).seen
        assert (seen.type, seen.payload, seen.queue) == ("ok:mail", PAYLOAD, "mail:eu")
        assert seen.headers == {"traceparent": "00-1-2-03", "x-shop": "a b"}
        assert (seen.max_retry, seen.retried) == (4, 0)
        assert seen.deadline == pytest.approx(before + 60, abs=5)
        assert (await server.event("ended", id="a b")).error is None


async def test_delayed_tasks_start_when_due(rust: Rust, ours: Ours) -> None:
    async with ours.server() as server, rust.client() as client, Inspector(ours.url) as inspector:
        soon = await client.enqueue_in(2, "ok", b"soon")
        later = await client.schedule(time.time() + 3600, "ok", b"later")
        due = time.time() + 2
        assert (soon.state, later.state) == ("scheduled", "scheduled")
        waiting = await inspector.tasks("default", TaskState.SCHEDULED)
        assert [task.id for task in waiting] == [soon.id, later.id]
        # The crate truncates to whole seconds.
        assert waiting[0].next_process_at == pytest.approx(due, abs=1.5)
        assert waiting[1].next_process_at == pytest.approx(due + 3598, abs=1.5)
        await server.event("ended", id=soon.id)
        await inspector.run(later.id)
        await server.event("ended", id=later.id)


async def test_the_result_of_a_task_is_kept(rust: Rust, ours: Ours) -> None:
    async with ours.server(), rust.client() as client, Client(ours.url) as mine:
        info = await client.enqueue("result", PAYLOAD, retention=600)
        assert await mine.result(info.id, bytes, timeout=20) == PAYLOAD


async def test_a_failed_task_is_retried(rust: Rust, ours: Ours) -> None:
    """The crate's default is 3 retries, not 25."""
    async with (
        ours.server(retry_delay=600) as server,
        rust.client() as client,
        Inspector(ours.url) as inspector,
    ):
        info = await client.enqueue("fail", b"no luck")
        await server.event("failed", id=info.id)
        await server.terminate()
        task = await inspector.find(info.id)
        assert (task.state, task.retried, task.max_retry) == (TaskState.RETRY, 1, 3)
        assert "no luck" in task.last_error


@pytest.mark.parametrize("payload", [b"", b'{"user_id":42}', PAYLOAD], ids=["empty", "json", "binary"])
async def test_a_lock_holds_on_both_sides_until_the_task_is_done(
    rust: Rust, ours: Ours, payload: bytes
) -> None:
    async with rust.client() as client, Client(ours.url) as mine:
        info = await client.enqueue_unique(600, "ok", payload)
        with pytest.raises(PeerError, match="duplicate"):
            await client.enqueue_unique(600, "ok", payload)
        if payload:
            with pytest.raises(DuplicateTask):
                await mine.enqueue(Task("ok", payload), unique=600)
        async with ours.server() as server:
            await server.event("ended", id=info.id)
            await server.terminate()
        await mine.enqueue(Task("ok", payload), unique=600)


async def test_the_lock_of_an_empty_payload_is_that_of_none(rust: Rust, ours: Ours) -> None:
    """For the crate, no bytes are Go's nil. asynqio, as Go, tells nil from an empty payload."""
    async with rust.client() as client, Client(ours.url) as mine:
        await client.enqueue_unique(600, "ok", b"")
        with pytest.raises(DuplicateTask):
            await mine.enqueue(Task("ok", None), unique=600)
        await mine.enqueue(Task("ok", b""), unique=600)


async def test_a_unique_delayed_task_is_refused_while_it_waits(rust: Rust, ours: Ours) -> None:
    async with rust.client() as client, Client(ours.url) as mine:
        info = await client.schedule_unique(time.time() + 3600, 600, "ok", b"x")
        assert info.state == "scheduled"
        with pytest.raises(DuplicateTask):
            await mine.enqueue(Task("ok", b"x"), unique=600)
        await mine.delete(info.id)
        await mine.enqueue(Task("ok", b"x"), unique=600)


async def test_a_lock_of_asynqio_refuses_a_task_of_rust(rust: Rust, ours: Ours) -> None:
    async with rust.client() as client, Client(ours.url) as mine:
        await mine.enqueue(Task("ok", b"x"), unique=600)
        with pytest.raises(PeerError, match="duplicate"):
            await client.enqueue_unique(600, "ok", b"x")


async def test_a_group_is_aggregated(rust: Rust, ours: Ours) -> None:
    async with rust.client() as client, Client(ours.url) as mine, Inspector(ours.url) as inspector:
        first = await client.add_to_group("g:1", "ok:a", b"one", headers={"k": "v"})
        assert first.state == "aggregating"
        await mine.enqueue(Task("ok:b", b"two"), group="g:1")
        [group] = await inspector.groups("default")
        assert (group.group, group.size) == ("g:1", 2)
        async with ours.server(aggregate=True, group_grace=1, aggregate_type="ok:all") as server:
            members = sorted((await server.event("aggregated")).tasks or [], key=lambda member: member.type)
            assert [(m.type, m.payload, m.headers or None) for m in members] == [
                ("ok:a", b"one", {"k": "v"}),
                ("ok:b", b"two", None),
            ]
            assert (await server.event("ended")).seen.type == "ok:all"


async def test_the_inspector_acts_on_tasks(rust: Rust, ours: Ours) -> None:
    async with rust.client() as client, Inspector(ours.url) as inspector:
        for id in ("run", "archive", "delete", "edit"):
            await client.schedule(time.time() + 3600, "ok", id.encode(), task_id=id)
        await inspector.run("run")
        await inspector.archive("archive")
        await inspector.delete("delete")
        await inspector.rewrite("edit", b"new")
        states = {id: (await inspector.find(id)).state for id in ("run", "archive", "edit")}
        assert states == {
            "run": TaskState.PENDING,
            "archive": TaskState.ARCHIVED,
            "edit": TaskState.SCHEDULED,
        }
        assert (await inspector.find("edit")).payload == b"new"
        with pytest.raises(TaskNotFound):
            await inspector.find("delete")
        stats = await inspector.queue("default")
        assert (stats.pending, stats.scheduled, stats.archived) == (1, 1, 1)
        assert [finding.code for finding in await inspector.doctor() if finding.queue] == ["no-server"]
