"""A temporary redis-server on a free port, without persistence."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from redis import Redis
from redis.exceptions import ConnectionError as NotConnected

#: Seconds until a started server must answer PING.
TIMEOUT = 10.0
SERVERS = ("redis-server", "valkey-server")


class NoServer(Exception):
    """There is no server program, or it did not start."""


def program() -> str:
    """The path of the server program. Raises NoServer with installation instructions."""
    for name in SERVERS:
        if found := shutil.which(name):
            return found
    raise NoServer(
        "no redis-server on this machine: install it (Debian, Ubuntu: apt-get install redis-server; "
        "macOS: brew install redis) and try again"
    )


def version() -> str:
    """The version, such as "7.0.15"."""
    output = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return next((word[2:] for word in output.split() if word.startswith("v=")), output.strip())


def facts() -> dict[str, str]:
    """Facts about the Redis server and the load of the machine, to add to `machine.facts`."""
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return {"Redis": version(), "load average": load}


@contextlib.contextmanager
def running() -> Iterator[int]:
    """Run an empty server during the block; yields its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        process = subprocess.Popen(
            [
                program(),
                *("--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
                *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C must not reach the server
        )
        try:
            _until_it_answers(process, port)
            yield port
        finally:
            process.kill()  # its data is not needed
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + TIMEOUT
    with Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except NotConnected:
                if process.poll() is not None or time.monotonic() > until:
                    raise NoServer(f"redis-server did not start on port {port}") from None
                time.sleep(0.005)
            else:
                return
