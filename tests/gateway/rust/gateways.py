"""Gateways for Rust peers: before Redis a process of its own, else a thread of the test, which starts faster."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from asynqio.gateway.settings import load_settings
from tests.brokers.redis.support.kill_on_exit import KillOnExit
from tests.gateway.running import RunningGateway

#: Seconds that a gateway may take to start or to stop, and between two looks at its log.
TIMEOUT = 30.0
GLANCE = 0.02
#: What a gateway reports when it is ready.
READY = re.compile(r"the gateway listens on http://(\S+?),")


@contextlib.contextmanager
def running(
    broker: str, folder: Path, environment: Mapping[str, str] | None = None, *, lease: float | None = None
) -> Iterator[str]:
    """Run a gateway before a store; the address is the value. `environment` has its settings and passwords.

    Blocks: use it in a sync fixture.
    """
    if not broker.startswith("redis:"):
        with RunningGateway(broker, load_settings({"lease": lease}, environment or {})) as gateway:
            yield gateway.address
        return
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ASYNQ")}
    options = [] if lease is None else ["--lease", str(lease)]
    log = folder / "gateway.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "asynqio",
                "gateway",
                "--broker",
                broker,
                "--addr",
                "127.0.0.1:0",
                *options,
            ],
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    leash = KillOnExit(process.pid)
    try:
        yield _address(process, log)
        process.send_signal(signal.SIGTERM)
        status = process.wait(TIMEOUT)
        assert status == 0, f"the gateway ended with {status}:\n{log.read_text()[-2000:]}"
    finally:
        process.kill()
        process.wait()
        leash.release()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it listens; return host:port."""
    end = time.monotonic() + TIMEOUT
    while not (found := READY.search(log.read_text())):
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"the gateway does not start:\n{log.read_text()[-2000:]}")
        time.sleep(GLANCE)
    return found[1]
