"""A gateway on uvicorn in a thread of the test process, on a free port."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from asynqio.gateway.app import create_app
from asynqio.gateway.server import uvicorn_config
from asynqio.gateway.settings import GatewaySettings

#: Seconds that a gateway gets to start, and to stop.
TIMEOUT = 30.0


class RunningGateway:
    """Listens from `with` to the end of the block."""

    def __init__(self, broker: str, settings: GatewaySettings) -> None:
        self.app = create_app(broker, settings)
        self._server = _Server(uvicorn_config(self.app, settings))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="gateway under test", daemon=True)

    def __enter__(self) -> Self:
        host, port = self._socket.getsockname()[:2]
        self._address = f"{host}:{port}"
        self._thread.start()
        if not self._server.ready.wait(TIMEOUT) or not self._server.started:
            raise RuntimeError("the gateway did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        with self._socket:
            self._server.run([self._socket])

    def stop(self) -> None:
        """Stop as after SIGTERM."""
        self._server.should_exit = True
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the gateway did not stop"

    @property
    def address(self) -> str:
        """host:port."""
        return self._address


class _Server(uvicorn.Server):
    """Says when it listens, or cannot."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
