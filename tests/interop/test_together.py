"""Servers of both sides on one queue, with tasks of clients of both."""

from __future__ import annotations

from collections import Counter

from tests.interop.conftest import Go, Ours
from tests.interop.support.process import Peer
from tests.interop.support.waiting import until

TASKS = 300


def ended(*servers: Peer) -> Counter[str]:
    """The number of successful runs of each task."""
    return Counter(
        event.seen.id for server in servers for event in server.waiting("ended") if event.error is None
    )


async def test_each_task_is_done_once_by_one_server(go: Go, ours: Ours) -> None:
    """A third of the tasks fail once on either side and are retried on either side."""
    async with (
        go.server(concurrency=8, retry_delay=0, delayed_interval=1) as theirs,
        ours.server(concurrency=8, retry_delay=0) as mine,
        go.client() as first,
        ours.client() as second,
        go.inspector() as inspector,
    ):
        for client in (first, second):
            await client.enqueue_many("sleep:30", [b"%d" % n for n in range(TASKS)])
            await client.enqueue_many("flaky:1", [b"%d" % n for n in range(TASKS // 2)])

        async def all_done() -> bool:
            return (await inspector.queue("default")).size == 0

        await until("all tasks are done", all_done)
        for server in (theirs, mine):
            assert await server.terminate() == 0
        runs = ended(theirs, mine)
        assert len(runs) == 3 * TASKS
        assert set(runs.values()) == {1}
        assert ended(theirs)
        assert ended(mine)
        queue = await inspector.queue("default")
        assert (queue.processed, queue.failed) == (4 * TASKS, TASKS)
