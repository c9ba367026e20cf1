"""What a gateway sends to one client: messages in order, kept until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from asynqio.brokers.remote.wire.frames import pack_frames

Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Outbox:
    """Messages of a session. `write` sends them over one connection after the other."""

    def __init__(self, max_unsent: int, max_kept: int) -> None:
        self._max_unsent = max_unsent
        self._max_kept = max_kept
        self._messages: list[bytes] = []
        self._bytes = 0
        #: Frames that were sent, or will be sent again, and may not have arrived. The first one has the number
        #: `_first`, counted from 1.
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._first = 1
        #: How many of them were sent over the present connection.
        self._sent = 0
        #: Whether a frame was dropped that may not have arrived.
        self._dropped = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def add(self, message: bytes) -> None:
        """Send a message, together with others of this iteration of the event loop."""
        self._messages.append(message)
        self._bytes += len(message)
        self._news.set()
        if self._bytes > self._max_unsent:
            self._room.clear()

    @property
    def has_room(self) -> bool:
        """Whether the reader keeps up."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until the reader has caught up."""
        await self._room.wait()

    def acknowledge(self, received: int) -> None:
        """Forget the frames up to this number: the client has them."""
        while self._kept and self._first <= received:
            self._kept_bytes -= len(self._kept.popleft())
            self._first += 1
            self._sent = max(0, self._sent - 1)

    def resume(self, received: int) -> bool:
        """Send what the client has not received. False: it is not known any more."""
        if self._dropped or not self._first - 1 <= received < self._first + len(self._kept):
            return False
        self.acknowledge(received)
        self._sent = 0
        self._news.set()
        return True

    async def write(self, send: Send) -> None:
        """Send frames until cancelled, or until the connection breaks."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._sent < len(self._kept):
                frame = self._kept[self._sent]
                self._sent += 1
                await send({"type": "websocket.send", "bytes": frame})
            messages, self._messages, self._bytes = self._messages, [], 0
            for frame in pack_frames(messages):
                self._keep(frame)
            if self._sent < len(self._kept):
                self._news.set()
            else:
                self._room.set()

    def _keep(self, frame: bytes) -> None:
        self._kept.append(frame)
        self._kept_bytes += len(frame)
        while self._kept_bytes > self._max_kept and self._sent:
            # It was sent, but the client does not acknowledge: its session cannot be resumed any more.
            self._dropped = True
            self._kept_bytes -= len(self._kept.popleft())
            self._first += 1
            self._sent -= 1
