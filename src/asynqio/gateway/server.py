"""Runs the gateway as a process of its own, on uvicorn."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvicorn
from litestar import Litestar

from asynqio.brokers import open_broker
from asynqio.errors import ConfigError
from asynqio.gateway.app import create_app
from asynqio.gateway.settings import DEFAULT_BROKER, Address, GatewaySettings
from asynqio.runtime.stop_signals import handle_signals

log = logging.getLogger("asynqio.gateway")

#: Connections that may wait to be accepted.
BACKLOG = 2_048


class _Server(uvicorn.Server):
    """Says where it listens: with port 0 the system chooses the port. A signal that stops it is no failure."""

    def __init__(self, config: uvicorn.Config, broker: str) -> None:
        super().__init__(config)
        self._broker = broker

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        signals = ("SIGTERM", "SIGHUP", "SIGINT")
        with handle_signals({name: partial(self._stop, name) for name in signals}):
            yield

    def _stop(self, signal: str) -> None:
        self.force_exit = self.should_exit and signal == "SIGINT"
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        shown = f"[{host}]" if ":" in host else host
        log.info(
            "the gateway listens on %s://%s:%d, broker %s",
            scheme,
            shown,
            port,
            self._broker,
            extra={"event": "gateway_started", "address": f"{shown}:{port}", "broker": self._broker},
        )


def uvicorn_config(app: Litestar, settings: GatewaySettings) -> uvicorn.Config:
    """How uvicorn serves a gateway."""
    return uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.max_message,
        ws_ping_interval=settings.ping_interval,
        ws_ping_timeout=settings.ping_timeout,
        ws_per_message_deflate=False,
        lifespan="on",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        server_header=False,
        access_log=False,
        log_config=None,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        timeout_graceful_shutdown=int(settings.shutdown_timeout),
    )


def run_gateway(broker: str | None, settings: GatewaySettings) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit status. Raises ConfigError, BrokerError."""
    store = open_broker(broker or DEFAULT_BROKER)
    if not store.shared:
        log.warning(
            "the gateway keeps tasks in this process only: they are lost when it ends; keep them with "
            "--broker sqlite:///asynqio.db",
            extra={"event": "gateway_not_durable", "broker": store.url},
        )
    _check_tls(settings)
    server = _Server(uvicorn_config(create_app(store, settings), settings), store.url)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with _listen(settings.address) as listening:
        server.run([listening])
    return 0 if server.started else 1


def _check_tls(settings: GatewaySettings) -> None:
    """Raise ConfigError if the certificate or its key cannot be used."""
    if not settings.tls_cert:
        return
    for option, file in (("--tls-cert", settings.tls_cert), ("--tls-key", settings.tls_key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise ConfigError([f"{option} {file}: cannot be read: {error.strerror}"]) from None
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.tls_cert, settings.tls_key
        )
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise ConfigError([f"--tls-cert and --tls-key cannot be used together: {reason}"]) from None


def _listen(address: Address) -> socket.socket:
    """The listening socket. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        # Python adds the address to the text of the system.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError([f"cannot listen at {address}: {reason}"]) from None
