"""A redis-server of our own: on a free port, in memory only, gone afterwards with all that is in it."""

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
from redis.exceptions import ConnectionError as NotThere

#: Seconds that a server may take to answer its first PING.
TIMEOUT = 10.0
SERVERS = ("redis-server", "valkey-server")


class NoServer(Exception):
    """There is none to start, or it did not start."""


def program() -> str:
    """Raises NoServer with what to do about it."""
    for name in SERVERS:
        if found := shutil.which(name):
            return found
    raise NoServer(
        "no redis-server on this machine: install it (Debian, Ubuntu: apt-get install redis-server; "
        "macOS: brew install redis) and try again"
    )


def version() -> str:
    """As in "7.0.15"."""
    said = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    return next((word[2:] for word in said.split() if word.startswith("v=")), said.strip())


def facts() -> dict[str, str]:
    """As machine.facts: what else one must know of a run with Redis."""
    load = " ".join(f"{load:.1f}" for load in os.getloadavg())
    return {"Redis": version(), "load average": load}


@contextlib.contextmanager
def running() -> Iterator[int]:
    """The port of a server in which nothing is."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        process = subprocess.Popen(
            [
                program(),
                *("--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
                *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us to act on
        )
        try:
            _until_it_answers(process, port)
            yield port
        finally:
            process.kill()  # nothing in it is worth a shutdown
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
            except NotThere:
                if process.poll() is not None or time.monotonic() > until:
                    raise NoServer(f"redis-server did not start on port {port}") from None
                time.sleep(0.005)
            else:
                return
