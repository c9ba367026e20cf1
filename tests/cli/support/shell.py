"""Runs commands in this process, on a store with known contents at a known time, and compares their output with
snapshot files."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Output
from asynqio.brokers.redis import server_clock
from asynqio.cli.main import main
from asynqio.clock import SystemClock
from asynqio.core.info import WorkerInfo
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from asynqio.testing.clock import START
from tests.builders import entry, server_info, settlement
from tests.conformance.helpers import put, put_in_state, take

#: `ASYNQIO_SNAPSHOTS=write` rewrites the snapshots; review the diff before committing it.
WRITE = os.environ.get("ASYNQIO_SNAPSHOTS") == "write"
SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
#: The time that the commands see.
NOW = START + 3_600


class Done(NamedTuple):
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one line of JSON."""
        [line] = self.out.splitlines()
        return json.loads(line)


class Shell:
    """Runs `asynqio …` on one broker."""

    def __init__(self, url: str, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._patch, self._capture = patch, capture
        patch.setenv("ASYNQIO_BROKER", url)
        patch.setenv("NO_COLOR", "1")
        patch.setattr(SystemClock, "now", lambda self: NOW)
        # It does not run with the machine, so the clock of Redis is ignored.
        patch.setattr(server_clock, "SystemClock", FakeClock())

    def __call__(self, *words: str, input: str | bytes = "") -> Done:
        data = input.encode() if isinstance(input, str) else input
        self._patch.setattr(sys, "argv", ["asynqio", *words])
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    def on_store(self, work: Callable[[Store, FakeClock], Awaitable[Any]]) -> Any:
        """Call `work` with the store, at the time `START`."""

        async def run() -> Any:
            clock = FakeClock()
            async with open_broker(self.url, clock=clock) as store:
                return await work(store, clock)

        return asyncio.run(run())


def matches_snapshot(name: str, done: Done) -> None:
    """Compare the output with the file `snapshots/NAME.txt`."""
    seen = re.sub(r"(redis|sqlite)://\S+", "BROKER", done.out + done.err)
    file = SNAPSHOTS / f"{name}.txt"
    if WRITE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(seen)
    assert seen == file.read_text()


async def fill(store: Store, clock: FakeClock) -> None:
    """A queue with tasks in every state, a paused queue, and a server."""
    S = TaskState
    await put_in_state(
        store, clock, S.ARCHIVED, entry("arch-1", type="email:send", payload=b'{"customer":{"id":7}}')
    )
    await put_in_state(
        store, clock, S.ARCHIVED, entry("arch-2", type="sms:send", payload=b'{"customer":{"id":8}}')
    )
    await put_in_state(store, clock, S.RETRY, entry("retry-1", type="email:send", headers={"trace": "abc"}))
    await put(store, entry("done-1", type="report", payload=None, retention=86_400.0))
    [held] = await take(store)
    await store.settle([settlement(held, now=clock.now())])
    await put(store, entry("run-1", type="video\x1b[31m", payload=b'{"evil":"\x1b[2J\x07"}'))
    [held] = await take(store, lease=1e6)
    await store.write_output([Output(held, progress=b"0.5")])
    await put(
        store,
        entry("later-1", type="email:send", at=clock.now() + 7_200),
        entry("member-1", type="click", group="page-1"),
        entry("member-2", type="click", group="page-1"),
        entry("member-3", type="click", group="page-2"),
        entry("wait-1", type="email:send", payload=b'{"customer":{"id":7}}'),
        entry("wait-2", type="binary", payload=b"\xff\x00"),
        entry("low-1", queue="low", payload=b"[1,2]"),
    )
    await store.pause("low", True)
    worker = WorkerInfo("default", "run-1", "video", clock.now(), clock.now() + 7_200, payload=b"{}")
    await store.beat(
        server_info("0f1e2d3c", queues={"default": 6, "low": 1}, concurrency=10, workers=[worker]), 1e6
    )
