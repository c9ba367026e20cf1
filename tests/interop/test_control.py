"""Actions of an operator on one side take effect on the other."""

from __future__ import annotations

import time

import pytest

from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.process import PeerError
from tests.interop.support.waiting import settled


async def test_cancelling_stops_a_task_of_the_other_side(producer: Side, worker: Side) -> None:
    async with (
        worker.server(retry_delay=600) as server,
        producer.client() as client,
        producer.inspector() as inspector,
    ):
        await client.enqueue("sleep:60000", task_id="long")
        await client.enqueue("sleep:60000", task_id="other")
        await server.event("started", id="long")
        await server.event("started", id="other")
        await inspector.cancel("long")
        assert "cancel" in str((await server.event("failed", id="long")).error)
        assert not server.waiting("failed")
        task = await settled(inspector, "long")
        assert (task.state, task.retried) == ("retry", 1)
        assert (await inspector.task("default", "other")).state == "active"


async def test_a_queue_is_paused_and_resumed(producer: Side, worker: Side) -> None:
    queues = {"default": 1, "other": 1}
    async with (
        worker.server(queues=queues) as server,
        producer.client() as client,
        producer.inspector() as inspector,
    ):
        await client.enqueue("ok", task_id="before")
        await server.event("ended", id="before")
        await inspector.pause("default")
        assert (await inspector.queue("default")).paused
        await client.enqueue("ok", task_id="paused")
        for number in range(5):  # a server that runs these could have run the paused one too
            await client.enqueue("ok", queue="other", task_id=f"other-{number}")
            await server.event("ended", id=f"other-{number}")
        assert "paused" not in {event.seen.id for event in server.waiting("started")}
        await inspector.unpause("default")
        resumed = time.monotonic()
        await server.event("started", id="paused")
        assert time.monotonic() - resumed < 3  # Go polls about every second


async def test_pausing_a_paused_queue_has_no_effect(producer: Side, worker: Side) -> None:
    async with producer.client() as client, producer.inspector() as first, worker.inspector() as second:
        await client.enqueue("ok")
        await first.pause("default")
        assert (await second.queue("default")).paused
        await second.unpause("default")
        assert not (await first.queue("default")).paused


async def test_a_go_producer_wakes_an_idle_asynqio_worker(go: Go, ours: Ours) -> None:
    """Go sends no notification of a push: asynqio must detect it without polling for seconds."""
    async with ours.server() as server, go.client() as client:
        waits = []
        for number in range(10):
            begun = time.monotonic()
            await client.enqueue("ok", task_id=str(number))
            await server.event("started", id=str(number))
            waits.append(time.monotonic() - begun)
        # Polling as in Go would take 0.5 s and more each time; a busy machine may delay some.
        assert sorted(waits)[len(waits) // 2] < 0.1


@pytest.mark.parametrize("state", ["scheduled", "archived", "completed"])
async def test_an_operator_of_one_side_runs_tasks_of_the_other(
    producer: Side, worker: Side, state: str
) -> None:
    async with (
        worker.server() as server,
        producer.client() as client,
        producer.inspector() as inspector,
        worker.inspector() as other,
    ):
        if state == "scheduled":
            await client.enqueue("ok", task_id="a", process_in=600)
        else:
            await client.enqueue("ok" if state == "completed" else "skip", b"x", task_id="a", retention=60)
            await server.event("started", id="a")
            await server.event("ended", id="a")
        assert (await settled(other, "a")).state == state
        await inspector.run("default", "a")
        await server.event("started", id="a")


async def test_an_operator_of_one_side_archives_and_deletes_tasks_of_the_other(
    producer: Side, worker: Side
) -> None:
    async with producer.client() as client, worker.inspector() as first, producer.inspector() as second:
        for id in ("archived", "deleted"):
            await client.enqueue("ok", task_id=id)
        await first.archive("default", "archived")
        await first.delete("default", "deleted")
        assert (await second.task("default", "archived")).state == "archived"
        with pytest.raises(PeerError, match="task_not_found"):
            await second.task("default", "deleted")


async def test_a_scheduled_payload_is_rewritten_by_the_other_side(producer: Side, worker: Side) -> None:
    async with (
        producer.client() as client,
        worker.inspector() as inspector,
        worker.server(delayed_interval=1) as server,
    ):
        await client.enqueue("ok", b"old", task_id="a", process_in=600, headers={"k": "v"})
        await inspector.update_payload("default", "a", b"new")
        await inspector.run("default", "a")
        seen = (await server.event("started", id="a")).seen
        assert (seen.payload, seen.headers) == (b"new", {"k": "v"})


async def test_a_removed_queue_is_removed_for_both_sides(producer: Side, worker: Side) -> None:
    async with producer.client() as client, producer.inspector() as first, worker.inspector() as second:
        await client.enqueue("ok", queue="low")
        await client.enqueue("ok", queue="default")
        with pytest.raises(PeerError):
            await second.delete_queue("low")
        await second.delete_queue("low", force=True)
        assert await first.queues() == await second.queues() == ["default"]
