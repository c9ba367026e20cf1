"""A client that writes any frame: for what the broker never sends."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Any, Self

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection

from asynqio.brokers.remote.wire.hello import SESSION_HEADER
from asynqio.brokers.remote.wire.operations import VERSION, VERSION_HEADER


class RawClient:
    """One connection to the endpoint of a gateway."""

    def __init__(self, port: int, session: str = "", received: int = 0, *, path: str = "ws") -> None:
        self.session = session or secrets.token_urlsafe(24)
        self._url = f"ws://127.0.0.1:{port}/{path}"
        self._last_id = 0
        self._headers = {VERSION_HEADER: VERSION, SESSION_HEADER: f"{self.session} {received}"}
        self._socket: ClientConnection

    async def __aenter__(self) -> Self:
        self._socket = await websockets.connect(
            self._url, additional_headers=self._headers, compression=None, max_size=None, max_queue=1
        )
        [[zero, kind, self.hello]] = await self.receive()
        assert (zero, kind) == (0, "hello")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()

    async def send(self, *messages: Any) -> None:
        """Send messages in one frame."""
        await self._socket.send(msgspec.msgpack.encode(messages))

    async def send_raw(self, frame: bytes | str) -> None:
        await self._socket.send(frame)

    async def receive(self) -> list[Any]:
        """The messages of the next frame."""
        frame = await self._socket.recv()
        assert isinstance(frame, bytes)
        messages: list[Any] = msgspec.msgpack.decode(frame)
        return messages

    async def ask(self, *message: Any) -> Any:
        """Send one message, and return the next one."""
        await self.send(list(message))
        [answer] = await self.receive()
        return answer

    def next_id(self) -> int:
        """The id of another call."""
        self._last_id += 1
        return self._last_id

    async def flood(self, call: list[Any], count: int) -> None:
        """Make calls without reading answers."""
        for _ in range(count):
            await self.send([self.next_id(), *call])

    async def close_code(self) -> int | None:
        """Wait until the gateway closes the connection."""
        await self._socket.wait_closed()
        return self._socket.close_code

    def break_off(self) -> None:
        """Close the socket without a word."""
        self._socket.transport.abort()
