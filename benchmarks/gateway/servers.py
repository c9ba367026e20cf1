"""The servers under load, each a process of its own on a free port."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Seconds until a started server must accept connections.
TIMEOUT = 60.0


class Running(NamedTuple):
    """A server: where it listens, and its process id."""

    address: str
    pid: int

    def cpu_seconds(self) -> float:
        """The CPU time that its process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident(self) -> int:
        """Its memory in bytes."""
        line = next(
            line
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        return int(line.split()[1]) * 1024


@contextlib.contextmanager
def gateway(broker: str) -> Iterator[Running]:
    """A gateway before a broker."""
    with _running(
        lambda port: ["-m", "asynqio", "gateway", "--addr", f"127.0.0.1:{port}", "--broker", broker]
    ) as it:
        yield it


@contextlib.contextmanager
def echo() -> Iterator[Running]:
    """The bare echo, on the same server as the gateway."""
    options = ["--ws", "websockets-sansio", "--loop", "uvloop", "--log-level", "warning", "--lifespan", "off"]
    with _running(
        lambda port: ["-m", "uvicorn", "benchmarks.gateway.echo:app", "--port", str(port), *options]
    ) as it:
        yield it


@contextlib.contextmanager
def _running(command: object) -> Iterator[Running]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command(port)],  # type: ignore[operator]
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port)
        yield Running(f"127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server on port {port} did not start")
