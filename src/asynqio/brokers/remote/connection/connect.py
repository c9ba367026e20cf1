"""Open and close connections: socket, TLS, handshake, authentication."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable

from websockets.uri import WebSocketURI

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.connecting import SOCKET_OPTIONS, connected_socket, reason, tls_context
from asynqio.brokers.contract.open_sockets import OPEN_SOCKETS
from asynqio.brokers.remote.connection import errors
from asynqio.brokers.remote.connection.connection import Connection
from asynqio.brokers.remote.settings import RemoteSettings
from asynqio.brokers.remote.wire.hello import SESSION_HEADER
from asynqio.brokers.remote.wire.operations import VERSION, VERSION_HEADER
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

#: Seconds for the gateway to receive buffered data before the connection is aborted.
_CLOSE_TIMEOUT = 1.0


async def connect(
    settings: RemoteSettings, session: str, on_frame: Callable[[Connection, bytes], None]
) -> Connection:
    """Open a connection whose handshake was accepted; `session` is the value of SESSION_HEADER.

    Raises BrokerUnavailable if a retry may succeed; BrokerError or ConfigError if it cannot.
    """
    where = settings.location
    uri = WebSocketURI(settings.tls, settings.host, settings.port, settings.path, "")
    headers = {VERSION_HEADER: VERSION, SESSION_HEADER: session, **_authorization(settings)}
    connection = Connection(where, uri, headers, settings.timeout, on_frame)
    try:
        async with asyncio.timeout(settings.connect_timeout):
            await _open_socket(settings, connection)
            answer = await connection.accepted
    except BaseException as error:
        await disconnect(connection, at_once=True)
        match error:
            case UnicodeError():
                raise ConfigError([f"{where} is not a valid host name"]) from error
            case ssl.SSLError():
                raise BrokerUnavailable(f"TLS handshake failed: {error.reason or error}") from error
            case TimeoutError():
                raise BrokerUnavailable(f"no answer within {settings.connect_timeout:g} s") from error
            case OSError():
                raise BrokerUnavailable(reason(error)) from error
        raise
    if answer.get(VERSION_HEADER) != VERSION:
        await disconnect(connection, at_once=True)
        raise errors.no_gateway(where)
    return connection


def _authorization(settings: RemoteSettings) -> dict[str, str]:
    if settings.token:
        return {"Authorization": f"Bearer {settings.token}"}
    if settings.username or settings.password:
        login = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
        return {"Authorization": f"Basic {login}"}
    return {}


async def _open_socket(settings: RemoteSettings, connection: Connection) -> None:
    context = await run_blocking(tls_context, settings, "gateway") if settings.tls else None
    sock = await connected_socket(settings.host, settings.port)
    OPEN_SOCKETS.add(sock)
    try:
        for level, name, value in SOCKET_OPTIONS:
            sock.setsockopt(level, name, value)
        await asyncio.get_running_loop().create_connection(
            lambda: connection, sock=sock, ssl=context, server_hostname=settings.host if context else None
        )
    except BaseException as error:
        sock.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise BrokerError(
                f"the certificate of the gateway at {connection.where} is not trusted ({error.verify_message}): give "
                "the authority with ca=/path/ca.pem, or loosen it with verify=ca, or check nothing with verify=none"
            ) from error
        raise


async def disconnect(connection: Connection, *, at_once: bool = False) -> None:
    """Close a connection and wait until it is closed."""
    if connection.abandoned:
        return
    if connection.accepted.done() and not connection.accepted.cancelled():
        connection.accepted.exception()  # retrieved: the caller has its own error
    if at_once or not connection.connected:
        connection.abort("closed by the client")
    else:
        connection.close()
    if not connection.connected:
        return
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await asyncio.shield(connection.closed)
    except TimeoutError:
        connection.abort("closed by the client")
        await connection.closed
