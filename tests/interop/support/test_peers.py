"""The peers behave as other tests assume, tested with Go on both sides."""

from __future__ import annotations

import signal

import pytest

from tests.brokers.redis.support.servers import MissingProgram
from tests.interop.conftest import Go
from tests.interop.support import build
from tests.interop.support.build import Programs
from tests.interop.support.process import PeerError


async def test_a_task_reaches_the_server_with_all_its_data(go: Go) -> None:
    async with go.server(concurrency=1, queues={"low": 1}) as server, go.client() as client:
        headers = {"trace": "ä"}
        info = await client.enqueue(
            "ok:mail", b"\x00\xff", queue="low", headers=headers, max_retry=3, timeout=60
        )
        assert (info.state, info.timeout, info.max_retry, info.headers) == ("pending", 60, 3, headers)
        seen = (await server.event("started", id=info.id)).seen
        assert (seen.type, seen.payload, seen.headers, seen.queue) == ("ok:mail", b"\x00\xff", headers, "low")
        assert (await server.event("ended", id=info.id)).error is None
        assert await server.terminate() == 0
        await server.event("closed")


async def test_failures_report_their_cause(go: Go) -> None:
    async with go.server(retry_delay=1000) as server, go.client() as client, go.inspector() as inspector:
        await client.enqueue("fail", b"no luck", task_id="fails", retention=60)
        await client.enqueue("panic", b"oh", task_id="panics")
        await client.enqueue("skip", b"never", task_id="skips")
        assert (await server.event("failed", id="fails")).error == "no luck"
        assert (await server.event("failed", id="panics")).is_panic
        await server.event("failed", id="skips")
        await server.terminate()
        states = {id: (await inspector.task("default", id)).state for id in ("fails", "panics", "skips")}
        assert states == {"fails": "retry", "panics": "retry", "skips": "archived"}


async def test_rejections_are_named(go: Go) -> None:
    async with go.client() as client, go.inspector() as inspector:
        await client.enqueue("ok", None, unique=60, task_id="a")
        for refused, options in {"duplicate": {"unique": 60.0}, "id_conflict": {"task_id": "a"}}.items():
            with pytest.raises(PeerError) as caught:
                await client.enqueue("ok", None, **options)  # type: ignore[arg-type]
            assert caught.value.kind == refused
        with pytest.raises(PeerError, match="queue_not_found"):
            await inspector.task("nowhere", "a")
        with pytest.raises(PeerError, match="task_not_found"):
            await inspector.task("default", "b")


async def test_a_scheduler_enqueues_and_is_listed(go: Go) -> None:
    async with go.scheduler() as scheduler, go.inspector() as inspector:
        entry = await scheduler.register("@every 1s", "ok:tick", b"now", queue="low", retention=90)
        await scheduler.start()
        enqueued = (await scheduler.event("enqueued")).enqueued
        assert (enqueued.type, enqueued.payload, enqueued.queue) == ("ok:tick", b"now", "low")
        await scheduler.event("enqueued")  # a second later its heartbeat and the first event are written
        [seen] = await inspector.entries()
        assert (seen.id, seen.spec, seen.options) == (
            entry,
            "@every 1s",
            ['Queue("low")', "Retention(1m30s)"],
        )
        assert enqueued.id in [event.task_id for event in await inspector.events(entry)]


async def test_a_group_becomes_one_task(go: Go) -> None:
    async with go.client() as client, go.server(aggregate=True, group_grace=1, group_max_size=2) as server:
        await client.enqueue("ok", b"one", group="g", task_id="a")
        await client.enqueue("ok", b"two", group="g", task_id="b")
        assert [member.payload for member in (await server.event("aggregated")).tasks or []] == [
            b"one",
            b"two",
        ]
        assert (await server.event("ended")).seen.payload == b"one\ntwo"


async def test_a_killed_server_sends_no_more_events(go: Go) -> None:
    async with go.server() as server, go.client() as client:
        info = await client.enqueue("sleep:60000")
        await server.event("started", id=info.id)
        await server.kill()
        assert await server.ended() == -signal.SIGKILL
        assert not server.waiting("ended")
        with pytest.raises(AssertionError, match="ended without an event"):
            await server.event("ended")


async def test_the_clock_of_rdb_is_set_by_the_test(go: Go) -> None:
    async with go.rdb() as rdb:
        message = {"type": "ok", "id": "a", "queue": "low", "timeout": 60, "payload": b"x"}
        await rdb.do("enqueue", now=1000.5, message=message)
        taken = await rdb.do("dequeue", now=2000.25, queues=["low"])
        assert taken["expires_at"] == 2030.25
        assert taken["message"]["id"] == "a"
        with pytest.raises(PeerError, match="nothing"):
            await rdb.do("dequeue", now=2000.25, queues=["low"])


async def test_the_asynq_command_runs(go: Go) -> None:
    async with go.client() as client:
        await client.enqueue("ok", queue="low")
    assert "low" in await go.cli("queue", "ls")
    assert "pending" in await go.cli("stats")


def test_the_sources_pass_gofmt_and_vet(built: Programs) -> None:
    assert not build.complaints()


def test_a_missing_go_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """This skips the tests locally and fails them in CI."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build, "USUAL_PLACE", "/nowhere/go")
    with pytest.raises(MissingProgram, match="go is not installed"):
        build.programs(print)
