"""Serves one WebSocket of the asynq-server protocol, in the terms of ASGI."""

from __future__ import annotations

import asyncio

from asynqio.gateway.asgi import Receive, Send, is_goodbye
from asynqio.gateway.asynq.dispatch import answer
from asynqio.gateway.asynq.session import Session
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal


async def serve(gateway: Gateway, principal: Principal, receive: Receive, send: Send) -> None:
    """Serve an accepted WebSocket until the client leaves, or is disconnected (`Session.disconnect`)."""
    session = Session(gateway, principal, send)
    clean = False
    try:
        with gateway.sessions.registered(session):
            clean = await _exchange(session, receive, send)
    finally:
        # Not interrupted: tasks that are not returned now wait for the end of their leases.
        await asyncio.shield(session.close(clean=clean))


async def _exchange(session: Session, receive: Receive, send: Send) -> bool:
    """Answer messages, each exactly once and in order. Returns whether the client said that it leaves."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return is_goodbye(message)
        if session.closed:
            continue
        text = message.get("text")
        reply = await answer(session, message["bytes"] if text is None else text)
        try:
            await send({"type": "websocket.send", "text": reply})
        except OSError:  # the client is gone; the next message says how
            session.undelivered()
        else:
            session.delivered()
