"""Groups with members of both sides, aggregated by either side."""

from __future__ import annotations

import asyncio

from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.views import GoMember


async def test_a_group_with_tasks_of_both_sides_is_aggregated(producer: Side, worker: Side) -> None:
    async with producer.client() as first, worker.client() as second, producer.inspector() as inspector:
        await first.enqueue("ok:a", b"one", group="g:1", task_id="1", headers={"k": "v"})
        await second.enqueue("ok:b", b"two", group="g:1", task_id="2")
        await first.enqueue("ok:c", None, group="g:1", task_id="3")
        [group] = await inspector.groups("default")
        assert (group.group, group.size) == ("g:1", 3)
        waiting = await inspector.tasks("default", "aggregating", "g:1")
        assert {(task.id, task.state, task.group) for task in waiting} == {
            (id, "aggregating", "g:1") for id in "123"
        }
        async with worker.server(aggregate=True, group_grace=1, aggregate_type="ok:all") as server:
            event = await server.event("aggregated")
            assert event.group == "g:1"
            members = sorted(event.tasks or [], key=lambda member: member.type)
            assert [GoMember(m.type, m.payload or None, m.headers or None) for m in members] == [
                GoMember("ok:a", b"one", {"k": "v"}),
                GoMember("ok:b", b"two", None),
                GoMember("ok:c", None, None),
            ]
            ended = await server.event("ended")
            assert ended.seen.type == "ok:all"
            assert sorted((ended.seen.payload or b"").split(b"\n")) == [b"", b"one", b"two"]
            await server.terminate()
        assert await inspector.groups("default") == []
        assert (await inspector.queue("default")).size == 0


async def test_a_full_group_is_aggregated_at_once(producer: Side, worker: Side) -> None:
    async with (
        worker.server(aggregate=True, group_grace=1000, group_max_size=2) as server,
        producer.client() as client,
    ):
        await client.enqueue("ok", b"one", group="g", task_id="a")
        await client.enqueue("ok", b"two", group="g", task_id="b")
        assert (await server.event("started")).seen.payload == b"one\ntwo"


async def test_a_merged_task_runs_on_the_other_side(go: Go, ours: Ours) -> None:
    """The aggregating server enqueues the merged task for the other side."""
    sides: list[tuple[Side, Side]] = [(go, ours), (ours, go)]
    for number, (merging, working) in enumerate(sides):
        queue = f"q{number}"
        settings = {"aggregate": True, "group_grace": 1, "group_max_size": 1, "concurrency": 1}
        async with merging.server(queues={queue: 1}, **settings) as merger, go.client() as client:  # type: ignore[arg-type]
            await client.enqueue("sleep:60000", queue=queue, task_id=f"blocks-{queue}")
            await merger.event("started", id=f"blocks-{queue}")
            await client.enqueue("ok", b"x", queue=queue, group="g")
            await merger.event("aggregated")
            async with working.server(queues={queue: 1}) as server:
                seen = (await server.event("started")).seen
                assert (seen.type, seen.payload, seen.queue) == ("ok:aggregated", b"x", queue)


async def test_a_batch_of_a_dead_go_server_returns_to_its_group(
    go: Go, ours: Ours, redis_server: RedisServer
) -> None:
    """Go does not list the group again (B3), so its tasks wait unseen; asynqio does."""
    async with go.client() as client:
        await client.enqueue("ok", b"x", group="g", task_id="a")
    async with go.rdb() as rdb:
        # The state after a Go server died during an aggregation more than two minutes ago.
        set_id = await rdb.do("check_group", str, now=1000.0, queue="default", group="g", at=4e9, grace=1.0)
        assert set_id
        left = await asyncio.to_thread(redis_server.cli, "SMEMBERS", "asynq:{default}:groups")
        assert not left
    async with ours.server(aggregate=True, group_grace=1) as server:
        assert [member.payload for member in (await server.event("aggregated")).tasks or []] == [b"x"]
