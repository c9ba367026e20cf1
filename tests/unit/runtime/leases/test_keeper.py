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

from asynqio.runtime.leases.keeper import STOP_TIMEOUT, Keeper
from asynqio.runtime.leases.keeper_job import KEEPER, QUIT, READY, TICK, KeeperJob
from tests.acceptance.harness import children


@pytest.fixture
def job(tmp_path: Path) -> KeeperJob:
    return KeeperJob(f"sqlite:///{tmp_path}/tasks.db", "host:1:a", lease=5.0, timeout=60.0)


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


def start_keeper(server: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", KEEPER, str(server)],
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


def test_a_keeper_that_cannot_open_the_broker_logs_why(job: KeeperJob) -> None:
    unopened = msgspec.structs.replace(job, url="sqlite:////proc/none/tasks.db")
    keeper = start_keeper(os.getpid())
    send(keeper, msgspec.json.encode(unopened) + b"\n")
    _, errors = keeper.communicate()
    assert keeper.returncode == 1
    assert b"could not open the broker: /proc/none" in errors
    assert b"Traceback" not in errors


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
