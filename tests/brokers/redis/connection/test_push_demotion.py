"""Push connections leave a server that is no longer the master, although they live."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio.errors import BrokerUnavailable
from tests.brokers.redis.connection.pushes import Received, opened
from tests.brokers.redis.support.servers import RedisServer


class Switch:
    """A TCP proxy like a name that moves: new connections go to `port`, and open ones stay where they are."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.own = 0
        self._streams: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Switch:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.own = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
        except ConnectionError:
            return
        finally:
            sink.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "other") as server:
        yield server


@pytest.mark.parametrize("forbidden", ["", "-role", "-role -info"])
async def test_a_demoted_server_is_left_although_its_connection_lives(
    server: RedisServer, other: RedisServer, forbidden: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for one in (server, other):
        rights = f"on nopass ~* &* +@all {forbidden}".split()
        await to_thread(one.cli, "ACL", "SETUSER", "me", *rights)
    received = Received()
    async with (
        Switch(server.port) as switch,
        opened(f"redis://me@127.0.0.1:{switch.own}?patience=20", received, check_every=0.05) as (redis, _),
    ):
        await received.up()
        await to_thread(server.cli, "REPLICAOF", "127.0.0.1", other.port)
        switch.port = other.port
        if "info" in forbidden:  # the rejected write shows it
            with contextlib.suppress(BrokerUnavailable):
                await redis.command("asynq:x", "SET", "asynq:x", 0)
        await received.up()
        await to_thread(other.cli, "SET", "asynq:x", 1)
        while await received.next() != [b"invalidate", [b"asynq:x"]]:
            pass  # the new replica deleted all its keys
    if not forbidden:
        assert "has become a replica: looking for the new master" in caplog.text
        events = [getattr(record, "event", "") for record in caplog.records]
        assert "push_connection_lost" in events
        assert "push_connection_restored" in events


async def test_a_rejected_write_has_the_push_connection_checked_at_once(
    server: RedisServer, other: RedisServer
) -> None:
    received = Received()
    async with (
        Switch(server.port) as switch,
        opened(f"redis://127.0.0.1:{switch.own}?patience=20", received) as (redis, _),
    ):
        await received.up()
        await to_thread(server.cli, "REPLICAOF", "127.0.0.1", other.port)
        switch.port = other.port
        with pytest.raises(BrokerUnavailable):
            await redis.command("asynq:x", "SET", "asynq:x", 0)
        await received.up()  # long before the next regular check
        await to_thread(other.cli, "SET", "asynq:x", 1)
        while await received.next() != [b"invalidate", [b"asynq:x"]]:
            pass  # the new replica deleted all its keys


async def test_a_replica_that_was_never_a_master_is_kept(server: RedisServer, other: RedisServer) -> None:
    """An inspector may read from a replica."""
    await to_thread(server.cli, "REPLICAOF", "127.0.0.1", other.port)
    received = Received()
    async with opened(server.url, received, check_every=0.02) as (_, connections):
        push = await received.up()
        for _ in range(5):
            assert await push.is_master() is False
            await asyncio.sleep(0.02)
        assert connections.is_current(push, None)
