"""A blocking connection to one server, for threads without an event loop."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

import hiredis

from asynqio.brokers.contract.connecting import SOCKET_OPTIONS
from asynqio.brokers.redis.connection import errors
from asynqio.brokers.redis.connection.busy_poll import LONGEST, BusyPoll
from asynqio.brokers.redis.connection.connect import (
    check_setup,
    setup_commands,
    tls_context,
    with_password,
)
from asynqio.brokers.redis.connection.connection import Arg, pack
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.settings import Address, RedisSettings, format_address
from asynqio.errors import BrokerUnavailable

_NOTHING: Final = object()
#: Bytes per read.
_BUFFER_SIZE = 65_536
#: The flag of a read that does not block; 0: there is none.
_AT_ONCE: Final = getattr(socket, "MSG_DONTWAIT", 0)


class BlockingConnection:
    """An authenticated connection; one thread at a time may use it.

    Making it connects, and raises OSError, BrokerError or ConfigError. After an error it is closed.
    """

    def __init__(self, settings: RedisSettings, address: Address, *, only_master: bool = False) -> None:
        self.where = format_address(address)
        self._reader = hiredis.Reader(replyError=errors.translate, notEnoughData=_NOTHING)
        self._buffer = bytearray(_BUFFER_SIZE)
        self._socket = _open_socket(settings, address)
        self._busy_poll = BusyPoll() if _AT_ONCE and not isinstance(self._socket, ssl.SSLSocket) else None
        try:
            steps = setup_commands(with_password(settings))
            check_setup(self.where, steps, self.call(steps))
            if only_master:
                self._check_role()
            _set_timeout(self._socket, settings.timeout)
        except BaseException:
            self.close()
            raise

    def call(self, commands: Sequence[tuple[Arg, ...]], *, alone: bool = True) -> list[Any]:
        """Send commands together and return their replies; an error reply is an exception in the list.

        `alone`: no other thread is about to run. Then it may poll for the replies; see `BusyPoll`.
        Raises ReplyLost if they may or may not have been executed. If it is interrupted, by Ctrl-C for example, the
        connection is closed, because replies are left on it.
        """
        data = pack(commands[0]) if len(commands) == 1 else b"".join(map(pack, commands))
        try:
            self._socket.sendall(data)
            if alone and self._busy_poll is not None:
                self._first_reply(self._busy_poll)
            return [self._reply() for _ in commands]
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            why = "no reply in time" if isinstance(error, BlockingIOError) else errors.reason(error)
            raise errors.lost(self.where, why) from error
        except BaseException:
            self.close()
            raise

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is _NOTHING:
            self._feed(self._socket.recv_into(self._buffer))
        return reply

    def _feed(self, size: int) -> None:
        if not size:
            raise ConnectionResetError("closed by the server")
        self._reader.feed(self._buffer, 0, size)  # type: ignore[arg-type]  # any buffer will do

    def _first_reply(self, poll: BusyPoll) -> None:
        """Read the beginning of the replies: poll for it if that is faster, and measure that."""
        polls, began = poll.begins(), time.monotonic()
        while polls and time.monotonic() - began < LONGEST:
            try:
                size = self._socket.recv_into(self._buffer, 0, _AT_ONCE)
            except BlockingIOError:
                continue
            break
        else:
            size = self._socket.recv_into(self._buffer)
        poll.replied(polls, time.monotonic() - began)
        self._feed(size)

    def _check_role(self) -> None:
        [role] = self.call([("ROLE",)])
        if not isinstance(role, RedisError) and role[0] != b"master":  # an ACL may forbid ROLE
            raise BrokerUnavailable("the sentinels named a server that is not a master (yet)")

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Close the connection. No effect the second time."""
        self._socket.close()


def _open_socket(settings: RedisSettings, address: Address) -> socket.socket:
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.create_connection(address, settings.connect_timeout)
    try:
        if isinstance(address, str):
            sock.settimeout(settings.connect_timeout)
            sock.connect(address)
            return sock
        for level, name, value in SOCKET_OPTIONS:
            sock.setsockopt(level, name, value)
        return tls_context(settings).wrap_socket(sock, server_hostname=address[0]) if settings.tls else sock
    except BaseException:
        sock.close()
        raise


def _set_timeout(sock: socket.socket, seconds: float) -> None:
    """Limit each read and write.

    A timeout of the kernel saves the `poll` before each read that a timeout of Python takes. But TLS would repeat a
    read that ends with it, for ever.
    """
    if isinstance(sock, ssl.SSLSocket) or os.name != "posix":
        sock.settimeout(seconds)
        return
    limit = struct.pack("@ll", int(seconds), round(seconds % 1 * 1e6))
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
