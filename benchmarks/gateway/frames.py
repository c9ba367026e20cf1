"""A minimal WebSocket client: text frames below 64 KB, without masking that costs anything (the key is zero)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

#: A valid Sec-WebSocket-Key; its answer is not checked.
_HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def text_frame(text: bytes) -> bytes:
    """A masked text frame."""
    length = len(text)
    size = (
        struct.pack("!BB", 0x81, 0x80 | length) if length < 126 else struct.pack("!BBH", 0x81, 0xFE, length)
    )
    return size + b"\0\0\0\0" + text


class Connection(asyncio.Protocol):
    """Calls `receive` with each text that arrives. Answers pings by ignoring them: runs are short."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive
        self.open = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, frame: bytes) -> None:
        assert self.transport is not None
        self.transport.write(frame)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(error or ConnectionError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        data = self._data + data
        if not self.open.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.open.set_exception(ConnectionError(head.decode("latin-1")))
                return
            self.open.set_result(None)
        at, size = 0, len(data)
        while size - at >= 2:
            opcode, length = data[at] & 0x0F, data[at + 1]
            start = at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            if size - start < length:
                break
            at = start + length
            if opcode == 1:
                self.receive(data[start:at])
        self._data = data[at:]


async def connect(address: str, receive: Callable[[bytes], None]) -> Connection:
    """A connection to host:port, after its handshake."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(receive), host, int(port))
    connection.send(_HANDSHAKE.format(host=address).encode())
    await connection.open
    return connection
