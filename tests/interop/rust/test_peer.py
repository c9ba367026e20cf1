"""The Rust peer behaves as other tests assume, tested with Rust on both sides."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.interop.rust.support import build
from tests.interop.rust.support.peers import Rust, seen
from tests.interop.support.process import PeerError


async def test_a_task_reaches_the_server_with_all_its_data(rust: Rust) -> None:
    async with rust.server(concurrency=1, queues={"low": 1}) as server, rust.client() as client:
        await client.ping()
        info = await client.enqueue("ok:mail", b"\x00\xff", queue="low", headers={"X-Trace": "ä"})
        assert (info.queue, info.type, info.state) == ("low", "ok:mail", "pending")
        task = seen(await server.event("started", id=info.id))
        assert (task.type, task.payload) == ("ok:mail", b"\x00\xff")
        assert (await server.event("ended", id=info.id)).error is None


async def test_failures_report_their_cause(rust: Rust) -> None:
    async with rust.server() as server, rust.client() as client:
        for kind in ("fail", "skip"):
            info = await client.enqueue(kind, b"no luck")
            assert "no luck" in str((await server.event("ended", id=info.id)).error)


async def test_a_slow_task_runs_until_it_is_released(rust: Rust) -> None:
    async with rust.server() as server, rust.client() as client:
        info = await client.enqueue("slow")
        await server.event("started", id=info.id)
        assert not server.waiting("ended")
        await server.release()
        await server.event("ended", id=info.id)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_server_ends_cleanly(rust: Rust, number: signal.Signals) -> None:
    async with rust.server() as server, rust.client() as client:
        await server.event("ended", id=(await client.enqueue("ok")).id)
        server.signal(number)
        await server.event("closed")
        assert await server.ended() == 0


async def test_errors_of_the_crate_are_named(rust: Rust) -> None:
    async with rust.client() as client:
        await client.enqueue_unique(60, "ok", b"x", task_id="a")
        with pytest.raises(PeerError, match="duplicate: Task already exists"):
            await client.enqueue_unique(60, "ok", b"x")
        with pytest.raises(PeerError, match="id_conflict"):
            await client.enqueue("ok", task_id="a")
        with pytest.raises(PeerError, match="Invalid task type"):
            await client.enqueue(" ")


async def test_a_client_that_cannot_connect_says_why(rust_program: Path) -> None:
    with pytest.raises(PeerError, match="refused"):
        async with Rust(rust_program, "redis://127.0.0.1:1").client():
            pass
    with pytest.raises(PeerError, match=r"websocket: .*Failed to connect"):
        async with Rust(rust_program, "127.0.0.1:1").client():
            pass


async def test_the_sources_pass_rustfmt(rust_program: Path) -> None:
    assert not await asyncio.to_thread(build.complaints)


def test_without_cargo_the_tests_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build, "USUAL_PLACE", Path("/nowhere/cargo"))
    with pytest.raises(pytest.skip.Exception, match="cargo is not installed"):
        build.program(print)
