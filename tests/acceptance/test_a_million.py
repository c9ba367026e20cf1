"""Many tasks in one queue on Redis: listing, searching and deleting them does not block other users.

The default is 20,000 tasks; `ASYNQIO_MILLION=1000000` changes it and `-s` shows the timings. 40 % are pending
(`ASYNQIO_MILLION_PENDING`), the others scheduled. To remove tasks from the middle of a list costs Redis 30 ns for
each task up to the nearer end, without interruption: 10 ms for 300,000 tasks.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import Applied, Filter, Inspector, TaskState
from asynqio.brokers import open_broker
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.redis.scripts.loader import LUA
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry
from tests.cli.support.command import environment

SIZE = int(os.environ.get("ASYNQIO_MILLION", "20000"))
PENDING = int(SIZE * float(os.environ.get("ASYNQIO_MILLION_PENDING", "0.4")))
#: Every tenth task belongs to customer 7.
SEVEN = "payload.customer.id=7"
MATCHING = SIZE // 10
STATES = ("--state", "pending", "--state", "scheduled")
#: Longest allowed Redis command in microseconds. On a busy machine, Redis sometimes waits for a processor during a
#: command; the total time over the limit may be as long as this waiting time, which Linux counts.
LIMIT = 10_000

pytestmark = pytest.mark.timeout(0 if SIZE > 20_000 else 120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server with all tasks and an empty slow log."""
    options = (f"slowlog-log-slower-than {LIMIT}", "slowlog-max-len 10000")
    with RedisServer(tmp_path_factory.mktemp("redis"), *options) as server:
        asyncio.run(fill(server.url))
        server.cli("SLOWLOG", "RESET")
        yield server


async def fill(url: str) -> None:
    later = time.time() + 86_400
    async with open_broker(url) as broker:
        for start in range(0, SIZE, 10_000):
            entries = [
                entry(
                    f"{number:08}-0000-0000-0000-000000000000",  # the length of ids
                    payload=b'{"customer":{"id":%d}}' % (number % 10),
                    at=later + number // 1_000 if number >= PENDING else 0.0,
                )
                for number in range(start, min(start + 10_000, SIZE))
            ]
            assert set(await broker.enqueue(entries)) == {Admission.ACCEPTED}


def command(server: RedisServer, *words: str) -> tuple[float, str]:
    """Run `asynqio …`; return its duration in seconds and its output."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "asynqio", *words],
        env=environment({"ASYNQIO_BROKER": server.url}),
        cwd=server.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began, done.stdout


class SlowLog:
    """Checks the slow log of Redis against its waiting time for a processor."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._names = {script.sha: script.name for script in LUA}
        self._waited = self._waiting()

    def _waiting(self) -> float:
        """Microseconds for which the main thread has waited for a processor."""
        return int(Path(f"/proc/{self._server.pid}/schedstat").read_text().split()[1]) / 1e3

    def check(self, what: str) -> None:
        """Check that no command since the last check took longer than the limit."""
        entries = self._server.cli("SLOWLOG", "GET", 10_000)
        self._server.cli("SLOWLOG", "RESET")
        slow = sorted(((one[2], self._names.get(one[3][1], one[3][0])) for one in entries), reverse=True)
        waited, self._waited = self._waiting() - self._waited, self._waiting()
        print(f"{what}: {len(slow)} commands above {LIMIT // 1_000} ms, of which {slow[:10]}")
        print(f"{what}: Redis waited for a processor for {waited / 1e3:,.0f} ms")
        assert sum(us - LIMIT for us, _ in slow) <= waited


@pytest.fixture(scope="module")
def slow_log(server: RedisServer) -> SlowLog:
    return SlowLog(server)


def test_stats_are_fast(server: RedisServer, slow_log: SlowLog) -> None:
    seconds, text = command(server, "stats", "--json")
    assert json.loads(text)["aggregate"]["size"] == SIZE
    print(f"asynqio stats with {SIZE:,} tasks: {seconds:.2f} s")
    assert seconds < 60, "a busy machine takes 8 s"
    slow_log.check("stats")


async def test_a_search_by_a_payload_field_finds_tasks_and_reports_progress(
    server: RedisServer, slow_log: SlowLog
) -> None:
    reports: list[Applied] = []
    found = 0
    began = time.monotonic()
    inspector = await asyncio.to_thread(Inspector, server.url)
    async with inspector:
        for state in (TaskState.PENDING, TaskState.SCHEDULED):
            async for info in inspector.search(
                "default", state, Filter.parse([SEVEN]), on_progress=reports.append
            ):
                assert info.payload == b'{"customer":{"id":7}}'
                found += 1
    seconds = time.monotonic() - began
    print(
        f"filter of {SIZE:,} tasks: {seconds:.1f} s, {SIZE / seconds:,.0f}/s; {len(reports):,} progress reports"
    )
    assert found == MATCHING
    assert len(reports) >= SIZE // 200
    await asyncio.to_thread(slow_log.check, "filter")


def test_matching_tasks_are_deleted_without_blocking_redis(server: RedisServer, slow_log: SlowLog) -> None:
    seconds, text = command(server, "task", "delete", *STATES, "--where", SEVEN, "--yes", "--json")
    assert json.loads(text) == {
        "action": "delete",
        "dry_run": False,
        "seen": SIZE,
        "matched": MATCHING,
        "done": MATCHING,
    }
    print(f"delete of {MATCHING:,} among {SIZE:,} tasks: {seconds:.1f} s")
    slow_log.check("delete")
    _, text = command(server, "stats", "--json")
    assert json.loads(text)["aggregate"]["size"] == SIZE - MATCHING
    assert server.cli("DBSIZE") < SIZE, "their hashes are deleted"
