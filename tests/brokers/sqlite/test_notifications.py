"""Processes that share a file notify each other by datagrams, without polling the file."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import signal
import sqlite3
import sys
import tempfile
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Output
from asynqio.brokers.contract.signals import Signals, Topic
from asynqio.brokers.sqlite.operations import notifications
from asynqio.brokers.sqlite.storage import notify
from asynqio.core.lifecycle import DONE, Action, Failed, Policy, decide
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import RetryIn

#: Upper limit in seconds for what must happen; long enough for a slow machine.
SOON = 20.0
PENDING = signals.pending("default")
TASK = Entry(TaskMessage("a", "kind"))

#: A process that watches one topic and polls the file only once per hour.
WATCHER = """
import asyncio, sys
from asynqio.brokers import open_broker
from asynqio.brokers.sqlite.operations import notifications
notifications.POLL_INTERVAL = 3600.0

async def main(url, *topic):
    async with open_broker(url) as broker:
        with broker.watch([topic]) as watch:
            await listening(broker)
            print("watching", flush=True)
            await watch.wait()
            print("woken", flush=True)

async def listening(broker):
    listener = broker._session._listener
    while not listener.name:
        await asyncio.sleep(0.001)  # for the thread that binds the socket
    await broker.leave(SERVER)  # and for the job that registers it

from asynqio.core.info import ServerInfo
SERVER = ServerInfo("nobody", "here", 1, 0.0, {})
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """A path that is short enough for sockets beside it, wherever the tests run."""
    with tempfile.TemporaryDirectory(prefix="asynqio-") as folder:
        yield Path(folder) / "tasks.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[Store]:
    async with open_broker(f"sqlite:///{path}") as broker:
        yield broker


@contextlib.asynccontextmanager
async def watcher(url: str, topic: Topic) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that watches a topic."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHER, url, *topic, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await said(process) == "watching"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), SOON)).decode().strip()


async def names(path: Path) -> list[str]:
    """The registered listeners."""

    def ask() -> list[str]:
        with closing(sqlite3.connect(path)) as database:
            return [name for (name,) in database.execute("SELECT name FROM listeners")]

    return await to_thread(ask)


async def sockets(path: Path) -> list[str]:
    return await to_thread(glob.glob, f"{path}-wake-*")


async def settled(broker: Store) -> None:
    """Wait until all jobs posted before are done."""
    await broker.renew([], 1)


# --- across processes ---------------------------------------------------------------------------------


async def test_a_new_task_wakes_another_process(broker: Store, path: Path) -> None:
    async with watcher(broker.url, PENDING) as process:
        await broker.enqueue([TASK])
        assert await said(process) == "woken"
        assert await process.wait() == 0
    # It removed its socket and its registration.
    assert await sockets(path) == []
    assert await names(path) == []


async def test_the_end_of_a_task_wakes_another_process(broker: Store) -> None:
    await broker.enqueue([TASK])
    [lease] = await broker.dequeue(["default"], 1, 30, "me")
    async with watcher(broker.url, signals.ended(TASK.message.ref)) as process:
        await broker.settle([decide(lease, DONE, broker.clock.now(), Policy())])
        assert await said(process) == "woken"
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "change", ["leased", "output", "deferred", "forwarded", "run", "archived", "deleted", "queue removed"]
)
async def test_each_change_of_a_task_wakes_a_process_that_follows_it(broker: Store, change: str) -> None:
    waiting = change == "forwarded"
    due = broker.clock.now() - 1
    await broker.enqueue([Entry(TASK.message, TaskState.SCHEDULED, due) if waiting else TASK])
    ref, leases = TASK.message.ref, []
    if change in ("output", "deferred", "run"):
        leases = await broker.dequeue(["default"], 1, 30, "me")
    if change == "run":
        await broker.settle([decide(leases[0], Failed(ValueError("no")), broker.clock.now(), Policy())])
    async with watcher(broker.url, signals.changed(ref)) as process:
        match change:
            case "leased":
                await broker.dequeue(["default"], 1, 30, "me")
            case "output":
                await broker.write_output([Output(leases[0], progress=b"1")])
            case "deferred":
                await broker.settle([decide(leases[0], Failed(RetryIn(60)), broker.clock.now(), Policy())])
            case "forwarded":
                await broker.forward(["default"], 1)
            case "queue removed":
                await broker.remove_queue("default", force=True)
            case _:
                actions = {"run": Action.RUN, "archived": Action.ARCHIVE, "deleted": Action.DELETE}
                await broker.move(actions[change], [ref])
        assert await said(process) == "woken"
        assert await process.wait() == 0


async def test_a_process_that_waits_for_an_end_registers_for_ends_only(broker: Store, path: Path) -> None:
    async with watcher(broker.url, signals.ended(TASK.message.ref)):
        await settled(broker)

        def wanted() -> list[int]:
            with closing(sqlite3.connect(path)) as database:
                return [wants for (wants,) in database.execute("SELECT ended FROM listeners")]

        assert await to_thread(wanted) == [notify.ENDED]


async def test_the_next_writer_removes_the_socket_of_a_killed_process(broker: Store, path: Path) -> None:
    async with watcher(broker.url, PENDING) as process:
        assert len(await names(path)) == len(await sockets(path)) == 1
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await broker.enqueue([TASK])
        await settled(broker)
        assert await names(path) == []
        assert await sockets(path) == []


# --- between two brokers of one process -----------------------------------------------------------------


async def test_a_cancellation_reaches_other_brokers(broker: Store) -> None:
    async with open_broker(broker.url) as other:
        received = other.cancellations()
        first = asyncio.ensure_future(anext(received))
        await asyncio.sleep(0)  # it starts
        await settled(other)
        refs = [TaskRef("default", "a"), TaskRef("default", "b")]
        await broker.cancel(refs)
        calls = [await asyncio.wait_for(first, SOON), await asyncio.wait_for(anext(received), SOON)]
        assert [call.ref for call in calls] == refs
        await received.aclose()  # type: ignore[attr-defined]


async def test_polling_replaces_a_lost_datagram(broker: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify.Notifier, "_send", lambda *_: None)
    monkeypatch.setattr(notifications, "POLL_INTERVAL", 0.01)
    async with open_broker(broker.url) as other:
        with other.watch([PENDING]) as watch:
            await broker.enqueue([TASK])
            assert await watch.wait(SOON)


async def test_without_sockets_the_file_is_polled(broker: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "HAS_SOCKETS", False)
    async with open_broker(broker.url) as other:
        ref = TASK.message.ref
        with other.watch([PENDING]) as watch, other.watch([signals.ended(ref)]) as end:
            await broker.enqueue([TASK])
            assert await watch.wait(SOON)
            [lease] = await broker.dequeue(["default"], 1, 30, "me")
            await broker.settle([decide(lease, DONE, broker.clock.now(), Policy())])
            assert await end.wait(SOON)


async def test_a_listener_registers_again_if_its_registration_was_deleted(
    broker: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "POLL_INTERVAL", 0.01)
    async with open_broker(broker.url) as other:
        with other.watch([PENDING]) as watch:
            await broker.enqueue([TASK])
            assert await watch.wait(SOON)
            await settled(other)
            [name] = await names(path)
            await to_thread(_delete_listeners, path)
            async with asyncio.timeout(SOON):
                while await names(path) != [name]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # there is no signal for this


def _delete_listeners(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=SOON)) as database:
        database.execute("DELETE FROM listeners")
        database.commit()


async def test_a_database_with_a_long_path_has_its_sockets_in_the_temporary_directory(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    await to_thread(folder.mkdir)
    pattern = f"{tempfile.gettempdir()}/asynqio-{os.getuid()}/*-wake-{os.getpid()}-*"
    async with (
        open_broker(f"sqlite:///{folder}/tasks.db") as broker,
        open_broker(f"sqlite:///{folder}/tasks.db") as other,
    ):
        with other.watch([PENDING]) as watch:
            await broker.enqueue([TASK])
            assert await watch.wait(SOON)
            await settled(other)
            [name] = await names(folder / "tasks.db")
            assert os.path.isabs(name)
            assert await to_thread(glob.glob, pattern) == [name]
    assert await to_thread(glob.glob, pattern) == []


async def test_an_abandoned_socket_is_removed_at_the_next_watch(broker: Store, path: Path) -> None:
    await to_thread(_abandon, f"{path}-wake-1-dead")
    with broker.watch([PENDING]):
        async with asyncio.timeout(SOON):
            while not (left := await names(path)):  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # for the listening thread
        assert [os.path.basename(found) for found in await sockets(path)] == left


def _abandon(address: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abandoned:
        abandoned.bind(address)


# --- datagrams ----------------------------------------------------------------------------------------


async def test_a_datagram_that_would_be_too_long_names_kinds() -> None:
    many: list[Topic] = [signals.ended(TaskRef("default", f"task-{n}")) for n in range(500)]
    datagram = notify.pack([PENDING, *many])
    assert len(datagram) <= notify.MAX_BYTES
    to = Signals()
    with to.watch([many[7]]) as one, to.watch([PENDING]) as two, to.watch([signals.due("default")]) as three:
        notify.receive(to, datagram)
        assert [await watch.wait(0) for watch in (one, two, three)] == [True, True, False]


@pytest.mark.parametrize("forged", [b"", b"\xc1", b"\x90", b"\x91\x90", b"\x91\x01", b"{}"])
async def test_a_malformed_datagram_stands_for_every_topic(forged: bytes) -> None:
    to = Signals()
    with to.watch([PENDING]) as watch:
        notify.receive(to, forged)
        assert await watch.wait(0)
