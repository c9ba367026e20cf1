"""Two tenants of one gateway use the same names and never see each other's tasks."""

from __future__ import annotations

import pytest

from asynqio import Client, Inspector, TaskState
from tests.interop.rust.support.peers import Rust, seen
from tests.interop.support.process import PeerError
from tests.interop.support.waiting import until

pytestmark = pytest.mark.requirement("SEC-GW-6")
Tenants = tuple[Rust, Rust]


async def test_tasks_are_stored_under_the_prefix_of_their_tenant(tenants: Tenants, url: str) -> None:
    """Answers have the names that the tenant uses."""
    async with tenants[0].client() as a, tenants[1].client() as b, Inspector(url) as inspector:
        for client in (a, b):
            info = await client.enqueue("ok", b"x", task_id="same")
            assert (info.id, info.queue) == ("same", "default")
            assert (await client.enqueue("ok", queue="low")).queue == "low"
            assert (await client.add_to_group("g", "ok", b"x")).state == "aggregating"
            with pytest.raises(PeerError, match="Task ID conflicts"):
                await client.enqueue("ok", task_id="same")
            await client.enqueue_unique(600, "ok", b"unique")
            with pytest.raises(PeerError, match=r"Task already exists$"):
                await client.enqueue_unique(600, "ok", b"unique")
        stored = {stats.queue: stats.pending for stats in await inspector.queues()}
        assert stored == {"a:default": 2, "a:low": 1, "b-queues:default": 2, "b-queues:low": 1}


async def test_a_tenant_cannot_reach_the_queues_of_another_by_name(tenants: Tenants, url: str) -> None:
    async with tenants[1].client() as b, Inspector(url) as inspector:
        await b.enqueue("ok", queue="a:default", task_id="x")
        assert [stats.queue for stats in await inspector.queues()] == ["b-queues:a:default"]


async def test_consumers_run_the_tasks_of_their_tenant_only(tenants: Tenants, url: str) -> None:
    async with (
        tenants[0].client() as client_a,
        tenants[1].client() as client_b,
        tenants[0].server() as a,
        Inspector(url) as inspector,
    ):
        of_b = await client_b.enqueue("ok", b"of b", task_id="same")
        for number in range(3):
            info = await client_a.enqueue("ok", b"of a", task_id=f"same{number}")
            assert seen(await a.event("ended", id=info.id)).payload == b"of a"
        assert (await inspector.find(of_b.id, queue="b-queues:default")).state is TaskState.PENDING
        async with tenants[1].server() as b:
            assert seen(await b.event("ended", id="same")).payload == b"of b"

            async def settled() -> bool:  # its acknowledgement names the queue as the tenant does
                stats = await inspector.queue("b-queues:default")
                return (stats.size, stats.processed) == (0, 1)

            await until("the task of b is deleted", settled)


async def test_failures_and_groups_stay_with_their_tenant(tenants: Tenants, url: str) -> None:
    async with (
        tenants[0].client() as client,
        tenants[0].server(aggregate=True, group_max_size=1) as server,
        Inspector(url) as inspector,
    ):
        await client.enqueue("fail", b"no luck", task_id="fails")
        await client.enqueue("skip", b"never", task_id="skips")
        await client.add_to_group("g", "ok", b"member")
        for id in ("fails", "skips"):
            await server.event("ended", id=id)
        assert (await server.event("aggregated")).group == "g"
        assert seen(await server.event("ended")).type == "ok:aggregated"

        async def settled() -> bool:
            stats = await inspector.queue("a:default")
            return (stats.size, stats.retry, stats.archived) == (2, 1, 1)

        await until("one is retried, one archived", settled)
        assert [stats.queue for stats in await inspector.queues()] == ["a:default"]


@pytest.mark.requirement("SEC-GW-7")
async def test_a_cancellation_reaches_the_task_of_its_tenant_only(tenants: Tenants, url: str) -> None:
    async with (
        tenants[0].client() as client_a,
        tenants[1].client() as client_b,
        tenants[0].server() as a,
        tenants[1].server() as b,
        Client(url) as ours,
    ):
        for client, server in ((client_a, a), (client_b, b)):
            await client.enqueue("slow", task_id="same")
            await server.event("started", id="same")
        await ours.cancel("same", queue="b-queues:default")
        await b.event("dropped", id="same")
        await client_a.enqueue("ok", task_id="later")
        await a.event("ended", id="later")
        assert not a.waiting("dropped")
        await a.release()
        await a.event("ended", id="same")
