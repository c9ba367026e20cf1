"""Rust and asynqio servers on one queue, with tasks of clients of both."""

from __future__ import annotations

from collections import Counter

from asynqio import Client, Inspector, Task
from tests.interop.conftest import Ours
from tests.interop.rust.support.peers import Rust
from tests.interop.rust.support.waiting import empty
from tests.interop.support.process import Peer
from tests.interop.support.waiting import until

TASKS = 200


def ended(*servers: Peer) -> Counter[str]:
    """The number of successful runs of each task."""
    return Counter(
        str((event.task or {})["id"])
        for server in servers
        for event in server.waiting("ended")
        if event.error is None
    )


async def test_each_task_is_done_once_by_one_server(rust: Rust, ours: Ours) -> None:
    async with (
        rust.server(concurrency=8) as theirs,
        ours.server(concurrency=8) as mine,
        rust.client() as first,
        Client(ours.url) as second,
        Inspector(ours.url) as inspector,
    ):
        await second.enqueue_many([Task("sleep:20", b"%d" % number) for number in range(TASKS)])
        for number in range(TASKS):
            await first.enqueue("sleep:20", b"%d" % number)
        await until("all tasks are done", lambda: empty(inspector))
        for server in (theirs, mine):
            assert await server.terminate() == 0
        runs = ended(theirs, mine)
        assert len(runs) == 2 * TASKS
        assert set(runs.values()) == {1}
        assert ended(theirs)
        assert ended(mine)
        stats = await inspector.queue("default")
        assert (stats.processed, stats.failed) == (2 * TASKS, 0)


async def test_tasks_of_both_clients_are_one_queue(rust: Rust, ours: Ours) -> None:
    """First in, first out, for a server of either side."""
    async with rust.client() as first, Client(ours.url) as second:
        for queue in ("rust", "ours"):
            for number in range(0, 6, 2):
                await first.enqueue("ok", queue=queue, task_id=f"{number}")
                await second.enqueue(Task("ok"), queue=queue, task_id=f"{number + 1}")
    for side, queue in ((rust, "rust"), (ours, "ours")):
        async with side.server(concurrency=1, queues={queue: 1}) as server:
            order = [(await server.event("started")).task or {} for _ in range(6)]
            assert [task["id"] for task in order] == list("012345")


async def test_priorities_of_queues_hold_for_tasks_of_asynqio(rust: Rust, ours: Ours) -> None:
    async with Client(ours.url) as client:
        for queue in ("low", "high"):
            for number in range(3):
                await client.enqueue(Task("ok"), queue=queue, task_id=f"{queue}-{number}")
        async with rust.server(queues={"low": 1, "high": 9}, concurrency=1, strict=True) as server:
            order = [str(((await server.event("started")).task or {})["id"]) for _ in range(6)]
            assert [id.partition("-")[0] for id in order] == ["high"] * 3 + ["low"] * 3
