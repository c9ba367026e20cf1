"""The broker of an app, and the clients on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.client import Client
from asynqio.config import broker_url, check_store
from asynqio.core.task.options import TaskOptions

if TYPE_CHECKING:
    from asynqio.sync.client import Client as SyncClient


class BrokerConnection:
    """Opens the broker at the first use. Replace the whole object to use another broker."""

    def __init__(
        self,
        broker: str | Store | None,
        *,
        max_payload: int,
        defaults: TaskOptions,
        on_client: Callable[[Client], None],
    ) -> None:
        """`on_client` is called with each client that is made."""
        self._url = broker if isinstance(broker, str) else None
        self._store: Store | None = None
        if broker is not None and not isinstance(broker, str):
            self._store = check_store(broker)
        self._owned = self._store is None
        self._max_payload = max_payload
        self._defaults = defaults
        self._on_client = on_client
        self._client: Client | None = None
        self._client_loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None
        self._sync: SyncClient | None = None
        self.is_open = False

    @property
    def broker(self) -> Store:
        """The broker, made at the first use. Raises ConfigError without a URL."""
        if self._store is None:
            self._store = open_broker(broker_url(self._url))
        return self._store

    async def open(self) -> Client:
        """The client of the running event loop. Raises BrokerError."""
        loop = asyncio.get_running_loop()
        if self._client is not None and self._client_loop is loop:
            return self._client
        if self._opening is None or self._client_loop is not loop:
            self._opening, self._client_loop, self._client = asyncio.Lock(), loop, None
        async with self._opening:
            if self._client is None:
                if self._owned and not self.is_open:
                    await self.broker.__aenter__()
                self.is_open = True
                self._client = Client(self.broker, max_payload=self._max_payload, **self._defaults)
                self._on_client(self._client)
        return self._client

    async def close(self) -> None:
        """Close what `open` opened. It can be opened again."""
        self._client = self._client_loop = self._opening = None
        if self.is_open:
            self.is_open = False
            if self._owned:
                await self.broker.__aexit__(None, None, None)
                if self._url != "memory://":  # its tasks live in the object itself
                    self._store = None

    @property
    def sync(self) -> SyncClient:
        """The blocking client, opened at the first use and closed with the process."""
        if self._sync is None:
            from asynqio.sync.client import Client as SyncClient

            client = SyncClient(self.broker, max_payload=self._max_payload, **self._defaults)
            self._sync = client.open(own_broker=self._owned)
            self._on_client(client.awaited)
        return self._sync

    def clients(self) -> list[Client]:
        """The clients made so far."""
        made = (self._client, self._sync.awaited if self._sync is not None else None)
        return [client for client in made if client is not None]
