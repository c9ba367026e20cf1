"""The WebSocket route: clients of asynqio ask for their protocol by a header, all others speak asynq-server's."""

from __future__ import annotations

import asyncio

from asynqio.gateway.asgi import Receive, Scope, Send
from asynqio.gateway.asynq import endpoint as asynq_protocol
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.remote import endpoint as remote_protocol


class RemoteClient:
    """A connected client of the `ws://` broker."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.disconnected = asyncio.Event()

    def disconnect(self, code: int) -> None:
        """Close its connection and end its session."""
        self.disconnected.set()

    async def renew_batches(self) -> None:
        """Nothing to do: it renews them itself."""


async def serve_websocket(
    gateway: Gateway, principal: Principal, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a WebSocket, from its upgrade to its end."""
    if not remote_protocol.is_remote(scope):
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        await asynq_protocol.serve(gateway, principal, receive, send)
        return
    client = RemoteClient(principal)
    with gateway.sessions.registered(client):
        await remote_protocol.serve(
            scope,
            receive,
            send,
            gateway.store_of(principal),
            gateway.remote_sessions,
            principal=principal.identity,
            until=client.disconnected,
        )
