"""Serves metrics over HTTP from separate threads, also while the event loop is blocked."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from prometheus_client import CollectorRegistry, start_http_server

from asynqio.blocking import run_blocking
from asynqio.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

log = logging.getLogger("asynqio.metrics")


class Endpoint:
    """Serves a registry at `http://host:port/metrics`, in the Prometheus text format or as OpenMetrics.

    There is no authentication, so the default `host` accepts connections from this machine only. Port 0 selects a
    free port. Use `async with`, or `open` and `close` without an event loop. Raises ConfigError if the address is not
    available.
    """

    def __init__(self, registry: CollectorRegistry, port: int, *, host: str = "127.0.0.1") -> None:
        self._registry = registry
        self._address = host, port
        self._running: tuple[WSGIServer, threading.Thread] | None = None

    @property
    def url(self) -> str:
        """The address of the open endpoint."""
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def open(self) -> Self:
        """Start to serve. Raises ConfigError if the address is not available."""
        host, port = self._address
        try:
            self._running = start_http_server(port, addr=host, registry=self._registry)
        except OSError as error:
            problem = error.strerror or str(error)
            raise ConfigError([f"cannot serve metrics at {host}, port {port}: {problem}"]) from None
        self._address = host, self._running[0].server_port
        log.info("metrics are served at %s", self.url, extra={"event": "metrics_started", "url": self.url})
        return self

    def close(self) -> None:
        """Stop serving."""
        if self._running is not None:
            server, thread = self._running
            self._running = None
            server.shutdown()
            server.server_close()
            thread.join()

    async def __aenter__(self) -> Self:
        return await run_blocking(self.open)

    async def __aexit__(self, *exc: object) -> None:
        await run_blocking(self.close)
