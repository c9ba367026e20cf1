"""Connecting sockets: host names, addresses, options, TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Protocol

from asynqio.blocking import run_blocking
from asynqio.errors import ConfigError

#: A peer that disappears silently is noticed after 15 + 3 × 5 s, even if nothing is sent.
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), n) for name, n in _KEEPALIVE if hasattr(socket, name)),
)


async def connected_socket(host: str, port: int) -> socket.socket:
    """A socket that is connected to the first address of a host that accepts.

    The event loop would look up the name in its default executor, which user code can fill. Raises OSError,
    UnicodeError (the name is not valid).
    """
    found = await run_blocking(
        socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # such as IPv6 where the kernel has none
            failure = failure or error
            continue
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError(f"{host} has no address")


class TlsFiles(Protocol):
    """What the settings of a broker say about TLS."""

    @property
    def ca(self) -> str:
        """The path of a PEM file with the certificate authority; empty: those of the system."""
        ...

    @property
    def cert(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def verify(self) -> str:
        """ "full", "ca" (any host name) or "none"."""
        ...


def tls_context(files: TlsFiles, of: str) -> ssl.SSLContext:
    """A context for one connection: a new one uses renewed certificates. Reads files. Raises ConfigError, which calls
    the URL that of `of`."""
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
        if files.cert:
            context.load_cert_chain(files.cert, files.key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [f"the TLS files of the {of} URL (ca, cert, key) cannot be used: {reason(error)}"]
        ) from error
    context.check_hostname = files.verify == "full"
    if files.verify != "full":
        # Python 3.13 sets it. Many private authorities lack extensions that it requires.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if files.verify == "none":
        context.verify_mode = ssl.CERT_NONE
    return context


def reason(error: BaseException | None) -> str:
    """A short description of an error."""
    if error is None:
        return "closed by the server"
    if isinstance(error, TimeoutError) and not error.args:
        return "no reply"
    if isinstance(error, OSError) and error.strerror:
        if (error.errno or 0) > 0 and not isinstance(error, ssl.SSLError):
            # asyncio writes "Connect call failed" and the address instead of the reason.
            return os.strerror(error.errno or 0)
        return error.strerror
    return str(error) or type(error).__name__
