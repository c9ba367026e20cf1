"""The lease keeper process: when it exits, and how its server ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from asynqio.brokers import open_broker
from asynqio.lease_keeper.__main__ import LAZY_FROM
from asynqio.runtime.leases.keeper import STOP_TIMEOUT, Keeper
from asynqio.runtime.leases.keeper_job import KeeperJob
from asynqio.runtime.leases.keeper_pipe import KEEPER, QUIT, READY, TICK
from tests.acceptance.harness import children
from tests.builders import entry


@pytest.fixture
def job(tmp_path: Path) -> KeeperJob:
    return KeeperJob(f"sqlite:///{tmp_path}/tasks.db", "host:1:a", lease=5.0, interval=60.0)


@pytest.fixture
def line(job: KeeperJob) -> bytes:
    """The first line on the keeper's standard input."""
    return msgspec.json.encode(job) + b"\n"


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """Stands in for a server. It runs until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def start_keeper(server: int, timeout: float = 60.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", KEEPER, str(server), str(timeout)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def keepers() -> list[int]:
    """The ids of the lease keepers that this process has started."""
    return await asyncio.to_thread(_keepers)


def _keepers() -> list[int]:
    # Other children are servers that tests share.
    return [
        pid for pid in children(os.getpid()) if KEEPER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def send(keeper: subprocess.Popen[bytes], message: bytes) -> None:
    assert keeper.stdin is not None
    keeper.stdin.write(message)


def wait_until_ready(keeper: subprocess.Popen[bytes]) -> None:
    assert keeper.stdout is not None
    assert keeper.stdout.read(1) == READY


def mapped(keeper: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{keeper.pid}/maps").read_text()


def wait_until_mapped(keeper: subprocess.Popen[bytes], file: str) -> None:
    deadline = time.monotonic() + 10
    while file not in mapped(keeper):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_silent_exit(keeper: subprocess.Popen[bytes]) -> None:
    """It exits although its standard input is still open."""
    assert keeper.wait(10) == 0
    assert keeper.communicate() == (b"", b"")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_a_keeper_whose_server_dies_during_its_start_exits_silently(line: bytes, part: float) -> None:
    keeper = start_keeper(os.getpid())
    assert keeper.stdout is not None
    keeper.stdout.close()
    send(keeper, line[: int(len(line) * part)])
    keeper.stdin.close()  # type: ignore[union-attr]
    assert keeper.stderr is not None
    assert keeper.stderr.read() == b""
    assert keeper.wait(10) == 0
    keeper.stderr.close()


@pytest.mark.parametrize("sent", [False, True])
def test_a_keeper_that_starts_after_the_death_of_its_server_exits(
    server: subprocess.Popen[bytes], line: bytes, sent: bool
) -> None:
    server.kill()
    server.wait()
    keeper = start_keeper(server.pid)
    if sent:
        send(keeper, line)
    assert keeper.wait(10) == 0
    _, errors = keeper.communicate()
    assert errors == b""


def test_a_keeper_exits_with_its_server_while_its_input_is_open(
    server: subprocess.Popen[bytes], line: bytes
) -> None:
    keeper = start_keeper(server.pid)
    send(keeper, line)
    wait_until_ready(keeper)
    server.kill()
    check_silent_exit(keeper)


def test_a_keeper_exits_at_quit_while_its_input_is_open(line: bytes) -> None:
    keeper = start_keeper(os.getpid())
    send(keeper, line)
    wait_until_ready(keeper)
    send(keeper, TICK + QUIT)
    check_silent_exit(keeper)


async def test_a_keeper_imports_what_renews_when_a_tick_is_missed(job: KeeperJob) -> None:
    async with open_broker(job.url) as broker:
        await broker.enqueue([entry()])
        await broker.dequeue(["default"], 1, 60.0, job.owner)
        keeper = await asyncio.to_thread(start_keeper, os.getpid(), LAZY_FROM)
        send(keeper, msgspec.json.encode(job) + b"\n")
        await asyncio.to_thread(wait_until_ready, keeper)
        files = await asyncio.to_thread(mapped, keeper)
        assert "/select." in files
        assert not [name for name in ("/_asyncio.", "/_ssl.", "/_sqlite3.", "msgspec") if name in files]

        assert keeper.stderr is not None
        assert b"renewing its 1 leases" in await asyncio.to_thread(keeper.stderr.readline)
        send(keeper, TICK + QUIT)
        output, errors = await asyncio.to_thread(keeper.communicate)
        assert (keeper.returncode, output) == (0, b"")
        assert b"server host:1:a runs again after" in errors


def test_a_keeper_that_cannot_open_the_broker_logs_why_and_tries_again(job: KeeperJob) -> None:
    unopened = msgspec.structs.replace(job, url="sqlite:////proc/none/tasks.db", interval=0.01)
    keeper = start_keeper(os.getpid(), timeout=0.01)
    send(keeper, msgspec.json.encode(unopened) + b"\n")
    wait_until_ready(keeper)
    assert keeper.stderr is not None
    for _ in range(2):
        while b"could not be renewed: /proc/none" not in (line := keeper.stderr.readline()):
            assert line
    send(keeper, QUIT)
    _, errors = keeper.communicate()
    assert keeper.returncode == 0
    assert b"Traceback" not in errors


@pytest.mark.parametrize("renews", [True, False], ids=["renewing", "waiting for the broker"])
def test_a_keeper_that_stands_in_exits_with_its_server(
    server: subprocess.Popen[bytes], job: KeeperJob, renews: bool
) -> None:
    url = job.url if renews else "redis://127.0.0.1:1"  # nothing listens there
    keeper = start_keeper(server.pid, timeout=0.01)
    send(keeper, msgspec.json.encode(msgspec.structs.replace(job, url=url)) + b"\n")
    wait_until_ready(keeper)
    wait_until_mapped(keeper, "/_asyncio.")
    server.kill()
    check_silent_exit(keeper)


async def test_stop_ends_the_process(job: KeeperJob) -> None:
    keeper = Keeper(job)
    await keeper.start()
    await keeper.tick()
    assert len(await keepers()) == 1
    await keeper.stop()
    assert await keepers() == []


async def test_stop_kills_a_process_that_does_not_exit(job: KeeperJob) -> None:
    keeper = Keeper(job)
    await keeper.start()
    [pid] = await keepers()
    os.kill(pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    await keeper.stop()
    assert time.monotonic() - stopped_at < STOP_TIMEOUT + 2
    assert await keepers() == []


async def test_a_process_that_does_not_read_does_not_block_the_server(job: KeeperJob) -> None:
    keeper = Keeper(job)
    await keeper.start()
    [pid] = await keepers()
    os.kill(pid, signal.SIGSTOP)
    for _ in range(100_000):  # more than a pipe holds
        await keeper.tick()
    os.kill(pid, signal.SIGCONT)
    await keeper.stop()


async def test_a_process_that_died_is_replaced(job: KeeperJob) -> None:
    keeper = Keeper(job)
    await keeper.start()
    [first] = await keepers()
    os.kill(first, signal.SIGKILL)

    async with asyncio.timeout(10):
        while await keepers() in ([first], []):
            await keeper.tick()
            await asyncio.sleep(0.01)
    await keeper.stop()
    assert await keepers() == []
