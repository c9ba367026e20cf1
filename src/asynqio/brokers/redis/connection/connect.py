"""Getting a connection: the socket, TLS, who we are, and whether the server is one to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from asynqio.brokers.redis.connection import errors as problems
from asynqio.brokers.redis.connection.connection import Wire, Word
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.settings import Address, RedisSettings, written
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

#: A peer that is gone without a word is noticed after 15 + 3 × 5 s, even if nothing is ever sent.
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))

#: Seconds that a server has to take what was sent, when we leave.
_FAREWELL = 1.0


async def dial(
    settings: RedisSettings,
    address: Address,
    *,
    on_push: Callable[[list[Any]], None] | None = None,
    resp3: bool = False,
    only_master: bool = False,
) -> Wire:
    """A connection that is logged in and ready.

    Raises BrokerUnavailable when another try may help, and BrokerError or ConfigError when it cannot.
    """
    where = written(address)
    wire = Wire(where, settings.timeout, on_push)
    try:
        async with asyncio.timeout(settings.connect_timeout):
            await _connect(settings, address, wire)
            await _introduce(settings, wire, resp3=resp3)
            if only_master:
                await _check_role(wire)
    except BaseException as error:
        why, farewell = wire.down, wire.farewell
        await hang_up(wire, at_once=True)
        match error:
            case BrokerUnavailable() if isinstance(farewell, RedisError):
                raise problems.refused(where, farewell, "the door") from error
            case BrokerUnavailable() if why:
                raise BrokerUnavailable(why) from error
            case UnicodeError():
                raise ConfigError([f"{where} is no host name"]) from error
            case ssl.SSLCertVerificationError():
                raise BrokerError(
                    f"the certificate of Redis at {where} is not trusted ({error.verify_message}): give the "
                    "authority with ca=/path/ca.pem, or loosen it with verify=ca or verify=none"
                ) from error
            case ssl.SSLError():
                raise BrokerUnavailable(f"no TLS: {error.reason or error}") from error
            case TimeoutError():
                hint = "; does this port speak TLS?" if settings.tls and not wire.connected else ""
                raise BrokerUnavailable(f"no answer within {settings.connect_timeout:g} s{hint}") from error
            case OSError():
                raise BrokerUnavailable(problems.reason(error)) from error
        raise
    return wire


async def _connect(settings: RedisSettings, address: Address, wire: Wire) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(address, str):
        await loop.create_unix_connection(lambda: wire, address)
        return
    context = await asyncio.to_thread(_context, settings) if settings.tls else None
    transport, _ = await loop.create_connection(lambda: wire, *address, ssl=context)
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _context(settings: RedisSettings) -> ssl.SSLContext:
    """Made for each connection, so that renewed certificates count. Reads files."""
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            context.load_cert_chain(settings.cert, settings.key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [f"the TLS files of the Redis URL (ca, cert, key) cannot be used: {problems.reason(error)}"]
        ) from error
    context.check_hostname = settings.verify == "full"
    if settings.verify == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


async def _introduce(settings: RedisSettings, wire: Wire, *, resp3: bool) -> None:
    """Log in. All of it goes out in one piece, so it costs one round trip.

    The password travels in AUTH and not in HELLO: a server that is too old for HELLO repeats its arguments
    in the error.
    """
    steps: list[tuple[Word, ...]] = []
    if settings.username:
        steps.append(("AUTH", settings.username, settings.password))
    elif settings.password:
        steps.append(("AUTH", settings.password))
    if resp3:
        steps.append(("HELLO", 3))
    if settings.db:
        steps.append(("SELECT", settings.db))
    # A server that loads its data lets one log in; it is the PING that it refuses.
    steps += [("CLIENT", "SETNAME", settings.client_name), ("PING",)]
    answers = await asyncio.gather(*(wire.call(*words) for words in steps), return_exceptions=True)
    for words, answer in zip(steps, answers, strict=True):
        step = str(words[0])
        if isinstance(answer, RedisError):
            if answer.code == "NOPERM" and step in ("CLIENT", "PING"):
                continue  # nothing that we depend on
            raise problems.refused(wire.where, answer, step) from None
        if isinstance(answer, BaseException):
            raise answer


async def _check_role(wire: Wire) -> None:
    """Sentinels can be a moment behind: only a master will do."""
    role: list[Any] = [b"master"]
    # Who may not ask is told by the first command that writes.
    with contextlib.suppress(RedisError):
        role = await wire.call("ROLE")
    if role[0] != b"master":
        raise BrokerUnavailable("the sentinels named a server that is no master (yet)")


async def hang_up(wire: Wire, *, at_once: bool = False) -> None:
    """Close a connection and see it gone."""
    if at_once or not wire.connected:
        wire.break_off("closed by us")
    else:
        wire.close()
    if not wire.connected:
        return
    try:
        async with asyncio.timeout(_FAREWELL):
            await asyncio.shield(wire.gone)
    except TimeoutError:
        wire.break_off("closed by us")
        await wire.gone
