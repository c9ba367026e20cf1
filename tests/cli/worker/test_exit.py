"""A worker exits in its documented time, whatever its handlers do."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import Inspector
from tests.brokers.redis.support.servers import RedisServer
from tests.cli.support.command import Command, command

pytest.importorskip("asynqio.brokers.sqlite")

#: The first task is named by FIRST. SLOW_START: the lifespan takes a minute.
STUBBORN = """
import asyncio, atexit, contextlib, os, threading, time
from asynqio import App, Task

app = App(os.environ.get("STORE", "sqlite:///tasks.db"))

def say(line):
    os.write(1, f"{line}\\n".encode())

@app.task("waits")
async def waits():
    say("begins")
    await asyncio.sleep(60)

@app.task("executor")
async def executor():
    say("begins")
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)

@app.task("swallow")
async def swallow():
    say("begins")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

@app.task("thread")
def thread():
    say("begins")
    time.sleep(60)

@app.task("own-thread")
async def own_thread():
    threading.Thread(target=time.sleep, args=(60,)).start()
    say("begins")
    await asyncio.sleep(60)

@app.task("at-exit")
async def at_exit():
    atexit.register(time.sleep, 60)
    say("begins")
    await asyncio.sleep(60)

@app.lifespan
@contextlib.asynccontextmanager
async def lifespan():
    if "SLOW_START" in os.environ:
        say("begins")
        try:
            await asyncio.sleep(60)
        finally:
            say("lifespan cancelled")
    if "FIRST" in os.environ:
        await app.enqueue(Task.json(os.environ["FIRST"], {}))
    yield {}
    say("lifespan over")
"""

#: Seconds for running tasks, and how much longer a worker may take.
SHUTDOWN_TIMEOUT, EXTRA = 1, 10
WORKER = ("worker", "stubborn:app", "--shutdown-timeout", str(SHUTDOWN_TIMEOUT))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with the module `stubborn`."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    return tmp_path


def end(worker: Command, number: signal.Signals) -> float:
    """Send a signal; the seconds until the worker has ended with status 0."""
    started = time.monotonic()
    worker.signal(number)
    assert worker.end() == 0, worker.text
    return time.monotonic() - started


def pending(url: str) -> int:
    async def count() -> int:
        async with Inspector(url) as inspector:
            return sum(queue.pending for queue in await inspector.queues())

    return asyncio.run(count())


@pytest.mark.parametrize("first", ["executor", "swallow", "thread", "own-thread", "at-exit"])
def test_a_handler_does_not_delay_the_exit(folder: Path, first: str) -> None:
    with command(*WORKER, cwd=folder, env={"FIRST": first}) as worker:
        worker.line("^begins")
        assert end(worker, signal.SIGTERM) < SHUTDOWN_TIMEOUT + EXTRA
        assert "lifespan over" in worker.text
        assert worker.survivors() == []
        assert ("still run" in worker.text) == (first != "thread")
    assert pending(f"sqlite:///{folder}/tasks.db") == 1


@pytest.mark.parametrize("alone", [True, False], ids=["no-supervisor", "supervisor"])
def test_hup_is_like_term(folder: Path, alone: bool) -> None:
    with command(*WORKER, *["--no-supervisor"] * alone, cwd=folder, env={"FIRST": "thread"}) as worker:
        worker.line("^begins")
        assert end(worker, signal.SIGHUP) < SHUTDOWN_TIMEOUT + EXTRA
        worker_text = worker.text
    assert "server closed" in worker_text
    assert pending(f"sqlite:///{folder}/tasks.db") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_slow_start(folder: Path, number: signal.Signals) -> None:
    with command(*WORKER, "--no-supervisor", cwd=folder, env={"SLOW_START": "1"}) as worker:
        worker.line("^begins")
        assert end(worker, number) < EXTRA
        assert "lifespan cancelled" in worker.text
        assert "the server was stopped while it started" in worker.text


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may freeze."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize("alone", [True, False], ids=["no-supervisor", "supervisor"])
@pytest.mark.parametrize("first", ["", "waits", "thread"])
def test_a_frozen_redis_does_not_delay_the_exit(
    folder: Path, redis_server: RedisServer, first: str, alone: bool
) -> None:
    environment = {"STORE": redis_server.url, **({"FIRST": first} if first else {})}
    with command(*WORKER, *["--no-supervisor"] * alone, cwd=folder, env=environment) as worker:
        worker.line("^begins" if first else "server started")
        redis_server.pause()
        try:
            assert end(worker, signal.SIGTERM) < SHUTDOWN_TIMEOUT + EXTRA
            assert "lifespan over" in worker.text
            assert worker.survivors() == []
        finally:
            redis_server.unpause()
