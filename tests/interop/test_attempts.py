"""Attempt records are stored in the task hash of Go: Go preserves them and deletes them with the task."""

from __future__ import annotations

from asynqio import AttemptOutcome, Inspector
from asynqio.core.explain.blockers import Situation
from asynqio.core.task.message import TaskRef
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours
from tests.interop.support.waiting import until


async def test_attempts_of_go_leave_no_record_and_preserve_existing_ones(
    go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    async with ours.client() as client, go.inspector() as theirs, Inspector(redis_server.url) as mine:
        info = await client.enqueue("fail", b"one", max_retry=9, task_id="a")
        for side in (ours, go, ours):
            async with side.server(retry_delay=600) as server:
                await server.event("failed", id=info.id)
                await server.terminate()
            await theirs.run("default", info.id)
        runs = await mine.attempts("a")
        assert [(run.number, run.outcome) for run in runs] == [
            (1, AttemptOutcome.FAILED),
            (2, AttemptOutcome.FAILED),
        ]
        explanation = await mine.explain("a")
        assert "1 failed attempt left no record: servers of Go record none." in explanation.happened
        assert explanation.situation is Situation.NO_SERVER
        # Go deletes the records with the task.
        await theirs.delete("default", "a")
        assert await mine.broker.attempts([TaskRef("default", "a")]) == [[]]
        async with ours.server(retry_delay=600) as server:
            await client.enqueue("fail", b"two", task_id="a")
            await server.event("failed", id="a")
            await server.terminate()
        assert [run.number for run in await mine.attempts("a")] == [1]


async def test_a_task_on_a_go_server_is_explained_by_what_the_server_reports(
    go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    async with (
        go.server(concurrency=1) as server,
        ours.client() as client,
        Inspector(redis_server.url) as inspector,
    ):
        await client.enqueue("sleep:60000", task_id="a")
        await server.event("started", id="a")
        await client.enqueue("sleep:60000", task_id="b")

        async def shown() -> bool:  # Go publishes its running tasks every 5 s
            return (await inspector.explain("a")).situation is Situation.RUNNING

        await until("Go reports that it runs the task", shown)
        [server_info] = await inspector.servers()
        assert server_info.types is None
        running = await inspector.explain("a")
        assert running.why[0].startswith(f"{server_info.id} has been running it for ")
        assert await inspector.attempts("a") == []
        waiting = await inspector.explain("b")
        assert waiting.situation is Situation.WAITING_FOR_SLOT
        assert "1 server on this queue, 1 of 1 slots busy." in waiting.why
        assert f"(servers of Go never do): {server_info.id}." in waiting.why[-1]
        await server.kill()
