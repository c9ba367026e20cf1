"""Open and close connections: socket, TLS, authentication, role check."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from asynqio.blocking import run_blocking
from asynqio.brokers.contract import connecting
from asynqio.brokers.contract.open_sockets import OPEN_SOCKETS
from asynqio.brokers.redis.connection import errors
from asynqio.brokers.redis.connection.connection import Arg, Connection
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.settings import Address, RedisSettings, format_address
from asynqio.errors import BrokerRefused, BrokerUnavailable, ConfigError

#: Seconds for the server to receive buffered data before the connection is aborted.
_CLOSE_TIMEOUT = 1.0


async def connect(
    settings: RedisSettings,
    address: Address,
    *,
    on_push: Callable[[list[Any]], None] | None = None,
    resp3: bool = False,
    only_master: bool = False,
) -> Connection:
    """Open an authenticated connection that is ready for commands.

    Raises BrokerUnavailable if a retry may succeed; BrokerError or ConfigError if it cannot.
    """
    where = format_address(address)
    connection = Connection(where, settings.timeout, on_push)
    try:
        async with asyncio.timeout(settings.connect_timeout):
            if settings.password_file:
                settings = await run_blocking(with_password, settings)
            await _open_socket(settings, address, connection)
            await _set_up(settings, connection, resp3=resp3)
            if only_master:
                await _check_role(connection)
    except BaseException as error:
        why, unsolicited_error = connection.down_reason, connection.unsolicited_error
        await disconnect(connection, at_once=True)
        match error:
            case BrokerUnavailable() if isinstance(unsolicited_error, RedisError):
                raise errors.refused(where, unsolicited_error, "connect") from error
            case BrokerUnavailable() if why:
                raise BrokerUnavailable(why) from error
            case UnicodeError():
                raise ConfigError([f"{where} is not a valid host name"]) from error
            case ssl.SSLError():
                raise BrokerUnavailable(f"TLS handshake failed: {error.reason or error}") from error
            case TimeoutError():
                hint = "; does this port use TLS?" if settings.tls and not connection.connected else ""
                raise BrokerUnavailable(f"no reply within {settings.connect_timeout:g} s{hint}") from error
            case OSError():
                raise BrokerUnavailable(errors.reason(error)) from error
        raise
    return connection


def with_password(settings: RedisSettings) -> RedisSettings:
    """The settings with the password that `password_file` contains now. Raises BrokerRefused if it cannot be read."""
    if not settings.password_file:
        return settings
    try:
        password = Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerRefused(
            f"the password of Redis cannot be read from {settings.password_file}: {errors.reason(error)}"
        ) from error
    return msgspec.structs.replace(settings, password=password, password_file="")


async def _open_socket(settings: RedisSettings, address: Address, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        await _open_unix_socket(address, connection)
        return
    context = await run_blocking(tls_context, settings) if settings.tls else None
    host, port = address
    sock = await connecting.connected_socket(host, port)
    OPEN_SOCKETS.add(sock)
    try:
        for level, name, value in connecting.SOCKET_OPTIONS:
            sock.setsockopt(level, name, value)
        await loop.create_connection(
            lambda: connection, sock=sock, ssl=context, server_hostname=host if context else None
        )
    except BaseException as error:
        sock.close()
        if context is not None and isinstance(error, ssl.SSLCertVerificationError):
            strict = bool(context.verify_flags & ssl.VERIFY_X509_STRICT)
            raise errors.untrusted(connection.where, error.verify_message, strict=strict) from error
        raise


async def _open_unix_socket(path: str, connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
        OPEN_SOCKETS.add(sock)
        await loop.create_unix_connection(lambda: connection, sock=sock)
    except BaseException:
        sock.close()
        raise


def tls_context(settings: RedisSettings) -> ssl.SSLContext:
    """Made for each connection, so that renewed certificates are used. Reads files."""
    return connecting.tls_context(settings, "Redis")


async def _set_up(settings: RedisSettings, connection: Connection, *, resp3: bool) -> None:
    """Authenticate and set up the connection, pipelined in one round trip."""
    steps = setup_commands(settings, resp3=resp3)
    answers = await asyncio.gather(*(connection.call(*args) for args in steps), return_exceptions=True)
    check_setup(connection.where, steps, answers)


def setup_commands(settings: RedisSettings, *, resp3: bool = False) -> list[tuple[Arg, ...]]:
    """The first commands of a connection.

    The password is sent with AUTH, not HELLO: a server that is too old for HELLO repeats its arguments in the error.
    """
    steps: list[tuple[Arg, ...]] = []
    if settings.username:
        steps.append(("AUTH", settings.username, settings.password))
    elif settings.password:
        steps.append(("AUTH", settings.password))
    if resp3:
        steps.append(("HELLO", 3))
    if settings.db:
        steps.append(("SELECT", settings.db))
    # A server that is loading its data accepts AUTH; it rejects PING.
    return [*steps, ("CLIENT", "SETNAME", settings.client_name), ("PING",)]


def check_setup(where: str, steps: Sequence[tuple[Arg, ...]], answers: Sequence[Any]) -> None:
    """Raise the first error among the replies to `setup_commands`, unless the command is not required."""
    for args, answer in zip(steps, answers, strict=True):
        step = str(args[0])
        if isinstance(answer, RedisError):
            if step in ("CLIENT", "PING") and errors.is_missing_command(answer):
                continue  # not required
            raise errors.refused(where, answer, step) from None
        if isinstance(answer, BaseException):
            raise answer


async def _check_role(connection: Connection) -> None:
    """Sentinels may lag behind a failover: raise BrokerUnavailable unless the server is a master."""
    role: list[Any] = [b"master"]
    # If the ACL forbids ROLE, the first write command fails on a replica.
    with contextlib.suppress(RedisError):
        role = await connection.call("ROLE")
    if role[0] != b"master":
        raise BrokerUnavailable("the sentinels named a server that is not a master (yet)")


async def disconnect(connection: Connection, *, at_once: bool = False) -> None:
    """Close a connection and wait until it is closed."""
    if connection.abandoned:
        return
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
