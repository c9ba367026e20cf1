"""A gateway for tests: the endpoint of the `ws://` broker on a real uvicorn, before stores that tests choose."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import uuid
from collections import OrderedDict
from typing import Any

import uvicorn

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.clock import Clock
from asynqio.gateway.remote.endpoint import is_remote, serve
from asynqio.gateway.remote.limits import RemoteLimits
from asynqio.gateway.remote.session import Session
from asynqio.gateway.remote.sessions import RemoteSessions

#: The name of the thread: it lives as long as the test process.
THREAD = "asynqio test gateway"
#: Stores that are remembered; the oldest are forgotten.
REMEMBERED = 500


class TestGateway:
    """An ASGI app. The first part of the path names a store; an unknown name is a new memory store."""

    __test__ = False

    def __init__(self, limits: RemoteLimits | None = None) -> None:
        self.stores: OrderedDict[str, Store] = OrderedDict()
        self.sessions = RemoteSessions(limits)
        #: The loop that serves, after the first request.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: Headers of the latest request.
        self.headers: dict[str, str] = {}

    def add(self, name: str, store: Store) -> None:
        """Serve a store under this name."""
        self.stores[name] = store
        while len(self.stores) > REMEMBERED:
            self.stores.popitem(last=False)

    def all_sessions(self) -> list[Session]:
        """The sessions that are open."""
        return [entry.session for entry in self.sessions._entries.values()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        self.loop = asyncio.get_running_loop()
        self.headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        name = scope["path"].strip("/")
        if not is_remote(scope) or name == "foreign":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        if name.isdecimal():  # a status to answer with
            await receive()
            await send(
                {"type": "websocket.http.response.start", "status": int(name), "headers": []},
            )
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        if name not in self.stores:
            self.add(name, open_broker("memory://"))
        async with self.stores[name] as store:
            await serve(scope, receive, send, store, self.sessions, principal=name)


class GatewayServer:
    """Serves an app from `start` to `close`, on uvloop in a thread of its own."""

    def __init__(self, app: TestGateway, port: int = 0) -> None:
        self.app = app
        self._socket = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop="uvloop",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> GatewayServer:
        """Start to serve. Connections made before it is ready wait."""
        self._thread.start()
        return self

    def url(self, name: str = "") -> str:
        """The URL of a store; of a new one without a name."""
        return f"ws://127.0.0.1:{self.port}/{name or uuid.uuid4().hex}"

    def join(self) -> None:
        """Serve until the process ends."""
        self._thread.join()

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()


@functools.cache
def shared_gateway() -> GatewayServer:
    """The gateway that tests share, one per test process. The first call starts it."""
    return GatewayServer(TestGateway()).start()


def stop_shared_gateway() -> None:
    """Stop the shared gateway, if it runs."""
    if shared_gateway.cache_info().currsize:
        shared_gateway().close()
        shared_gateway.cache_clear()


def behind_gateway(url: str, store_url: str, clock: Clock | None = None) -> Store:
    """The broker of a gateway's URL (which may have options of the store), before a store with this clock."""
    plain, _, options = url.partition("?")
    gateway = shared_gateway()
    name = plain.rpartition("/")[2]
    if name not in gateway.app.stores or clock is not None:
        gateway.app.add(name, open_broker(f"{store_url}?{options}" if options else store_url, clock=clock))
    return open_broker(plain, clock=clock)
