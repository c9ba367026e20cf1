"""A gateway as a process: `python -m tests.brokers.remote.support.process PORT STORE`."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Self

from asynqio.brokers import open_broker
from tests.brokers.remote.support.gateway import GatewayServer, TestGateway


class GatewayProcess:
    """Serves a store under the path /ws, in a process that tests kill and start again. Its methods block."""

    def __init__(self, store: str) -> None:
        self._store = store
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it serves."""
        command = [sys.executable, "-m", __name__, str(self.port), self._store]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


def main() -> None:
    app = TestGateway()
    app.add("ws", open_broker(sys.argv[2]))
    server = GatewayServer(app, int(sys.argv[1])).start()
    print("ready", flush=True)
    server.join()


if __name__ == "__main__":
    main()
