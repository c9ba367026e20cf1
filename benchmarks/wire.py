"""The process of a `DelayingProxy`: `python -m benchmarks.wire TARGET_PORT`, then one command per line of JSON.

It ends with its standard input, so it does not outlive who started it.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
import sys
from collections import deque
from typing import Any

import msgspec

#: What one read takes at most. All connections share the memory, for what they read leaves it at once.
_BUFFER = bytearray(1 << 20)
#: Close a socket with a reset, at once.
_RESET = struct.pack("ii", 1, 0)


class Wire:
    """What goes for all connections."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.stalled = False
        self.callers: set[Side] = set()
        self.lost = 0
        #: The answers to so many requests with this in them are to be lost.
        self.to_lose, self.mark = 0, b""
        self.opening: set[asyncio.Task[None]] = set()

    def set_delay(self, seconds: float) -> None:
        self.delay = seconds

    def connections(self) -> int:
        return len(self.callers)

    def cut(self) -> int:
        cut = list(self.callers)
        for caller in cut:
            caller.reset()
        return len(cut)

    def stall(self) -> None:
        self.stalled = True

    def resume(self) -> None:
        self.stalled = False
        for caller in self.callers:
            caller.deliver()
            caller.other.deliver()

    def drop_replies(self, mark: str, times: int) -> None:
        self.mark, self.to_lose = mark.encode(), times

    def dropped(self) -> int:
        return self.lost


class Side(asyncio.BufferedProtocol):
    """One of the two sockets of a connection, and what it has read that the other one is still to write."""

    other: Side

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        #: When to write what. The end of the stream is None.
        self.under_way: deque[tuple[float, bytes | None]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.send(bytes(memoryview(_BUFFER)[:nbytes]))

    def eof_received(self) -> bool:
        self.send(None)
        return True

    def send(self, data: bytes | None) -> None:
        """Write it to the other side when it is due."""
        self.under_way.append((self.loop.time() + self.wire.delay, data))
        if self.timer is None:
            self.deliver()

    def deliver(self) -> None:
        """Write what is due, and come again for the rest."""
        self.timer = None
        out = self.other.transport
        if self.wire.stalled or out is None:
            return
        now, due = self.loop.time(), []
        while self.under_way and self.under_way[0][0] <= now:
            due.append(self.under_way.popleft()[1])
        if due:
            out.write(b"".join(data for data in due if data is not None))
            if due[-1] is None:
                self.end(out)
        if self.under_way:
            self.timer = self.loop.call_at(self.under_way[0][0], self.deliver)

    def end(self, out: asyncio.Transport) -> None:
        """Nothing more comes from here. The other direction may have something to say still."""
        self.ended = True
        out.write_eof()
        if self.other.ended and self.transport is not None:
            self.transport.close()
            out.close()

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.under_way.clear()
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.close()

    def reset(self) -> None:
        """End both sides as a broken network does."""
        for side in (self, self.other):
            if side.transport is not None:
                side.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
                side.transport.abort()


class Caller(Side):
    """The side of who connected to us."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        self.other = Server(wire)
        self.other.other = self
        self.loses = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.wire.callers.add(self)
        opening = self.loop.create_task(self.open())
        self.wire.opening.add(opening)
        opening.add_done_callback(self.wire.opening.discard)

    async def open(self) -> None:
        try:
            await self.loop.create_connection(lambda: self.other, "127.0.0.1", self.wire.target)
        except OSError:
            self.reset()
        else:
            assert self.transport is not None
            if self.transport.is_closing():
                self.reset()
            self.deliver()

    def send(self, data: bytes | None) -> None:
        if self.wire.to_lose and data is not None and not self.loses and self.wire.mark in data:
            self.wire.to_lose -= 1
            self.loses = True
        super().send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.wire.callers.discard(self)


class Server(Side):
    """The side of the server."""

    other: Caller

    def send(self, data: bytes | None) -> None:
        if self.other.loses:
            self.wire.lost += 1
            self.reset()
        else:
            super().send(data)


async def main() -> None:
    loop = asyncio.get_running_loop()
    wire = Wire(int(sys.argv[1]))
    server = await loop.create_server(lambda: Caller(wire), "127.0.0.1", 0)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    tell(server.sockets[0].getsockname()[1])
    while line := await commands.readline():
        what, *how = msgspec.json.decode(line)
        tell(getattr(wire, what)(*how))
    server.close()
    wire.cut()


def tell(answer: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def precise_loop() -> asyncio.AbstractEventLoop:
    """A loop that waits by the microsecond: epoll, the default, rounds up to the next millisecond.

    With a delay of 0.5 ms a round trip took 1.3 ms on it, and 2.4 ms with epoll.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        runner.run(main())
