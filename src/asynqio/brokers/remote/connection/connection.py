"""One WebSocket to a gateway, over the protocol core of `websockets`.

Measured: a whole call takes the processor time that the asyncio client of `websockets` needs to send and receive its
frames alone (0.04 ms), since no task and no queue are between the socket and the callers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI

from asynqio.brokers.contract.connecting import reason
from asynqio.brokers.remote.connection import errors
from asynqio.errors import BrokerError

#: Largest frame that a gateway may send, in bytes: one page of tasks with payloads.
MAX_FRAME = 1 << 30
#: Seconds after which an idle connection is checked.
KEEPALIVE = 10.0

#: The library logs each frame at DEBUG, credentials of the handshake included.
_silent = logging.getLogger("asynqio.remote.websocket")
_silent.setLevel(logging.INFO)


class Connection(asyncio.Protocol):
    """A connection, made by `connect`. It is not reused: when it breaks, another one replaces it.

    `on_frame` receives each frame. `on_writable` is called when the socket takes data again. The connection is
    aborted if nothing arrives for `timeout` seconds, although the gateway was asked for a sign of life.
    """

    def __init__(
        self,
        where: str,
        uri: WebSocketURI,
        headers: dict[str, str],
        timeout: float,
        on_frame: Callable[[Connection, bytes], None],
    ) -> None:
        self.where = where
        self._on_frame = on_frame
        self.on_writable: Callable[[], None] = _nothing
        self._headers = headers
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._socket = ClientProtocol(uri, max_size=MAX_FRAME, logger=_silent)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._received_at = 0.0
        self._asked = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._why = ""
        #: Whether frames can be written now.
        self.writable = False
        #: Whether answers are outstanding: then a silent connection is checked early.
        self.is_waiting: Callable[[], object] = bool
        #: Done when the gateway has answered the handshake: its response headers.
        self.accepted: asyncio.Future[dict[str, str]] = self._loop.create_future()
        #: Done when the gateway has said hello.
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        #: Done when the connection is closed; its result is the reason.
        self.closed: asyncio.Future[str] = self._loop.create_future()

    # --- sending ----------------------------------------------------------------------------------

    def send(self, frames: list[bytes]) -> None:
        """Write frames at once."""
        for frame in frames:
            self._socket.send_binary(frame)
        self._write()

    def _write(self) -> None:
        data = self._socket.data_to_send()
        if data and self._transport is not None:
            if data[-1] == b"":  # the end of the stream
                data.pop()
            if data:
                self._transport.write(data[0] if len(data) == 1 else b"".join(data))

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = self._socket.state is OPEN
        if self.writable:
            self.on_writable()

    # --- receiving --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._socket.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._socket.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        self._received_at, self._asked = self._loop.time(), False
        self._socket.receive_data(data)
        for event in self._socket.events_received():
            if isinstance(event, Response):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._receive(event)
        self._write()
        if self._socket.parser_exc is not None:
            self.abort(f"protocol error: {self._socket.parser_exc}")
        elif self._socket.handshake_exc is not None and not self.accepted.done():
            self._reject(self._socket.handshake_exc)

    def _shake_hands(self, response: Response) -> None:
        if self.accepted.done():
            return
        if self._socket.handshake_exc is not None:
            self._reject(self._socket.handshake_exc)
            return
        self.writable = True
        self._watchdog = self._loop.call_later(self._timeout / 2, self._watch)
        self.accepted.set_result({name.lower(): value for name, value in response.headers.raw_items()})

    def _reject(self, error: Exception) -> None:
        if isinstance(error, InvalidStatus):
            problem: BrokerError = errors.rejected(self.where, error.response.status_code)
        else:
            problem = errors.no_gateway(self.where)
        self.accepted.set_exception(problem)
        self.abort(str(problem))

    def _receive(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.BINARY | Opcode.CONT:
                if frame.fin and not self._parts:
                    self._on_frame(self, bytes(frame.data))
                    return
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    whole, self._parts = b"".join(self._parts), []
                    self._on_frame(self, whole)
            case Opcode.CLOSE:
                received = self._socket.close_rcvd
                code = received.code if received is not None else 1005
                text = (received.reason if received is not None else "") or "closed by the gateway"
                self._why = self._why or f"{text}, code {code}"
                self.writable = False
            case Opcode.TEXT:
                self.abort("protocol error: a text frame")

    # --- the state of the connection --------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the socket was ever connected; then `closed` will be done."""
        return self._transport is not None

    @property
    def abandoned(self) -> bool:
        """Whether its event loop was closed before it."""
        return self._loop.is_closed()

    def _watch(self) -> None:
        """Ask for a sign of life after a silence; abort if there was none."""
        silence = self._loop.time() - self._received_at
        if self._asked:
            self.abort(f"no sign of life within {self._timeout:g} s")
            return
        if silence >= self._timeout / 2 and (silence >= KEEPALIVE or self.is_waiting()):
            self._asked = True
            if self._socket.state is OPEN:
                self._socket.send_ping(b"")
                self._write()
        self._watchdog = self._loop.call_later(self._timeout / 2, self._watch)

    def eof_received(self) -> None:
        self._socket.receive_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self.writable = False
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        why = self._why or reason(error)
        if not self.accepted.done():
            self.accepted.set_exception(ConnectionError(why))
            self.accepted.exception()  # nobody may wait for it any more
        if not self.closed.done():
            self.closed.set_result(why)

    def abort(self, why: str) -> None:
        """Close the connection at once."""
        self._why = self._why or why
        self.writable = False
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the session, and close the connection after buffered data has been written."""
        self._why = self._why or "closed by the client"
        self.writable = False
        if self._socket.state is OPEN:
            self._socket.send_close(1000)
            self._write()
        if self._transport is not None:
            self._transport.close()


def _nothing() -> None:
    """Before the session begins."""
