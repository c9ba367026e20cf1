"""A Rust client enqueues tasks through a gateway."""

from __future__ import annotations

import time

import pytest

from asynqio import Client, DuplicateTask, Inspector, Mux, Server, Task, TaskState
from tests.interop.rust.support.peers import Rust
from tests.interop.rust.support.waiting import processed
from tests.interop.support.process import PeerError
from tests.interop.support.waiting import until

PAYLOAD = bytes(range(256))
#: For what the store has no part in.
in_memory = pytest.mark.parametrize("url", ["memory"], indirect=True)


async def test_a_task_is_stored_completely(rust: Rust, url: str) -> None:
    """The protocol carries neither a time limit nor a retention."""
    async with rust.client() as client, Inspector(url) as inspector:
        await client.ping()
        info = await client.enqueue(
            "ok:mail", PAYLOAD, queue="mail:eu", headers={"X-Shop": "a b"}, max_retry=4, task_id="a b"
        )
        assert (info.id, info.queue, info.type, info.state) == ("a b", "mail:eu", "ok:mail", "pending")
        task = await inspector.find("a b", queue="mail:eu")
        assert (task.state, task.type, task.payload) == (TaskState.PENDING, "ok:mail", PAYLOAD)
        assert (task.headers, task.max_retry, task.retried) == ({"x-shop": "a b"}, 4, 0)


@in_memory
async def test_a_task_without_options_has_the_defaults_of_the_crate(rust: Rust, url: str) -> None:
    async with rust.client() as client, Inspector(url) as inspector:
        info = await client.enqueue("ok")
        task = await inspector.find(info.id)
        assert (info.queue, task.queue, task.max_retry) == ("default", "default", 3)
        assert not task.payload
        assert not task.headers


@in_memory
async def test_a_value_of_a_header_beyond_ascii_is_lost_and_the_task_is_not(rust: Rust, url: str) -> None:
    """The crate sends such a value as an empty list."""
    async with rust.client() as client, Inspector(url) as inspector:
        info = await client.enqueue("ok", b"x", headers={"k": "v", "umlaut": "ä"})
        headers = (await inspector.find(info.id)).headers
        assert headers is not None
        assert headers["k"] == "v"
        assert not headers.get("umlaut")


async def test_delayed_tasks_are_scheduled_in_whole_seconds(rust: Rust, url: str) -> None:
    async with rust.client() as client, Inspector(url) as inspector:
        before = time.time()
        first = await client.enqueue_in(600, "ok", b"soon")
        second = await client.schedule(before + 3600, "ok", b"later")
        assert (first.state, second.state) == ("scheduled", "scheduled")
        tasks = await inspector.tasks("default", TaskState.SCHEDULED)
        assert [task.id for task in tasks] == [first.id, second.id]
        for task, delay in zip(tasks, (600, 3600), strict=True):
            assert before + delay - 1 <= task.next_process_at <= time.time() + delay


async def test_a_duplicate_is_refused_until_its_lock_is_released(rust: Rust, url: str) -> None:
    async with rust.client() as client, Client(url) as ours:
        info = await client.enqueue_unique(600, "ok", PAYLOAD)
        with pytest.raises(PeerError, match=r"Task already exists$"):
            await client.enqueue_unique(600, "ok", PAYLOAD)
        with pytest.raises(PeerError, match=r"Task already exists$"):
            await client.schedule_unique(time.time() + 60, 600, "ok", PAYLOAD)
        with pytest.raises(DuplicateTask):
            await ours.enqueue(Task("ok", PAYLOAD), unique=600)
        await client.enqueue_unique(600, "ok", PAYLOAD, queue="low")
        await ours.delete(info.id)
        assert (await client.schedule_unique(time.time() + 60, 600, "ok", PAYLOAD)).state == "scheduled"


async def test_an_id_is_taken_once(rust: Rust) -> None:
    async with rust.client() as client:
        await client.enqueue("ok", task_id="same")
        with pytest.raises(PeerError, match=r"Task ID conflicts with another task$"):
            await client.enqueue("ok", task_id="same")
        await client.enqueue("ok", task_id="same", queue="low")


async def test_members_of_groups_wait_unique_ones_included(rust: Rust, url: str) -> None:
    async with rust.client() as client, Inspector(url) as inspector:
        first = await client.add_to_group("g:1", "ok", b"one", task_id="1")
        second = await client.add_to_group_unique("g:1", 600, "ok", b"two")
        assert (first.state, second.state) == ("aggregating", "aggregating")
        with pytest.raises(PeerError, match=r"Task already exists$"):
            await client.add_to_group_unique("g:1", 600, "ok", b"two")
        [group] = await inspector.groups("default")
        assert (group.group, group.size) == ("g:1", 2)


@in_memory
async def test_a_refused_request_leaves_the_connection_usable(rust: Rust) -> None:
    async with rust.client() as client:
        with pytest.raises(PeerError, match="broker: "):
            await client.enqueue("ok", queue=" " * 300)
        await client.ping()
        assert (await client.enqueue("ok")).state == "pending"


@in_memory
async def test_a_large_payload_arrives(rust: Rust, url: str) -> None:
    payload = PAYLOAD * 2048
    async with rust.client() as client, Inspector(url) as inspector:
        info = await client.enqueue("ok", payload)
        assert (await inspector.find(info.id)).payload == payload


@in_memory
@pytest.mark.parametrize("path", ["", "/", "/ws"])
async def test_a_url_reaches_the_gateway_with_and_without_the_path(rust: Rust, path: str) -> None:
    """The crate adds `/ws` to host:port only."""
    async with rust.at(f"ws://{rust.address}{path}").client() as client:
        await client.ping()


async def test_an_asynqio_server_runs_the_task(rust: Rust, url: str) -> None:
    results: list[bytes | None] = []

    async def ok(task: Task) -> None:
        results.append(task.payload)

    mux = Mux()
    mux.handle("ok", ok)
    async with rust.client() as client, Inspector(url) as inspector, Server(url).running(mux):
        await client.enqueue_unique(600, "ok", PAYLOAD)
        await until("the task is done", lambda: processed(inspector, 1))
        assert results == [PAYLOAD]
        await client.enqueue_unique(600, "ok", PAYLOAD)
