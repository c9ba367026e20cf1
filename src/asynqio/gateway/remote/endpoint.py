"""One WebSocket connection of a `ws://` broker, in terms of ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.remote.wire.frames import pack_frame, unpack_frame
from asynqio.brokers.remote.wire.hello import SESSION_HEADER, parse_session_header
from asynqio.brokers.remote.wire.operation import encode_notice
from asynqio.brokers.remote.wire.operations import VERSION, VERSION_HEADER
from asynqio.gateway.remote.outbox import Send
from asynqio.gateway.remote.session import Session
from asynqio.gateway.remote.sessions import Key, RemoteSessions

log = logging.getLogger("asynqio.gateway")

#: Close codes of WebSocket (RFC 6455).
NORMAL, GOING_AWAY, NOT_MSGPACK, POLICY, RESTART = 1000, 1001, 1007, 1008, 1012


def is_remote(scope: Mapping[str, Any]) -> bool:
    """Whether a WebSocket request asks for this protocol."""
    return _header(scope, VERSION_HEADER) == VERSION


def _header(scope: Mapping[str, Any], name: str) -> str:
    wanted = name.encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), "")


async def serve(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Send,
    store: Store,
    sessions: RemoteSessions,
    *,
    principal: str = "",
    until: asyncio.Event | None = None,
) -> None:
    """Serve a connection until it ends.

    `store` is what the client may use. `principal` names the client: only it can resume its sessions. Setting `until`
    ends the connection and its session: the client has lost its rights.
    """
    event = await receive()
    if event["type"] != "websocket.connect":
        return
    try:
        id, received = parse_session_header(_header(scope, SESSION_HEADER))
    except ValueError:
        await send({"type": "websocket.close", "code": POLICY})  # before the handshake: status 403
        return
    version = (VERSION_HEADER.encode(), VERSION.encode())
    await send({"type": "websocket.accept", "headers": [version]})
    key = Key(principal, id)
    session, hello, replaced = sessions.attach(key, received, store)
    ended = False
    try:
        await send({"type": "websocket.send", "bytes": pack_frame([encode_notice("hello", hello)])})
        ended = await _exchange(session, receive, send, replaced, until)
    except OSError:  # the connection broke; uvicorn raises this
        pass
    finally:
        if not replaced.is_set():
            sessions.detach(key, session, ended=ended)


async def _exchange(
    session: Session,
    receive: Callable[[], Awaitable[Any]],
    send: Send,
    replaced: asyncio.Event,
    until: asyncio.Event | None,
) -> bool:
    """Read and write until one of them ends, or the connection has to. Returns whether the session has ended."""
    reading = asyncio.create_task(_read(session, receive))
    tasks: list[asyncio.Task[Any]] = [
        reading,
        asyncio.create_task(session.outbox.write(send)),
        asyncio.create_task(replaced.wait()),
    ]
    if until is not None:
        tasks.append(asyncio.create_task(until.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        expelled = until is not None and until.is_set()
        code = reading.result() if reading.done() else POLICY if expelled else GOING_AWAY
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if code == NOT_MSGPACK:
        text = "a frame must be a msgpack array of messages"
        await send({"type": "websocket.send", "bytes": pack_frame([encode_notice("error", text)])})
    if code != NORMAL:
        with contextlib.suppress(OSError, RuntimeError):  # the connection is closed already
            await send({"type": "websocket.close", "code": code})
    return expelled or code in (NORMAL, NOT_MSGPACK)


async def _read(session: Session, receive: Callable[[], Awaitable[Any]]) -> int:
    """Handle frames until the connection ends; returns the close code."""
    while True:
        await session.ready()
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return int(event.get("code", GOING_AWAY))
        try:
            messages = unpack_frame(event.get("bytes") or b"")
        except msgspec.MsgspecError:
            return NOT_MSGPACK
        for message in messages:
            await session.handle(message)
