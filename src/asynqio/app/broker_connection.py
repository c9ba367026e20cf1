"""The broker of an app, and the clients on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.processes import reset_after_fork
from asynqio.client import Client
from asynqio.config import broker_url, check_store
from asynqio.core.task.options import TaskOptions

if TYPE_CHECKING:
    from asynqio.sync.client import Client as SyncClient


class BrokerConnection:
    """Opens the broker at the first use, for every event loop and thread. Replace the whole object to use another
    broker."""

    def __init__(
        self,
        broker: str | Store | None,
        *,
        max_payload: int,
        defaults: TaskOptions,
        on_client: Callable[[Client], None],
    ) -> None:
        """`on_client` is called with each client that is made."""
        #: Whether the broker does not come from the environment.
        self.is_given = broker is not None
        self._url = broker if isinstance(broker, str) else None
        self._store: Store | None = None
        if broker is not None and not isinstance(broker, str):
            self._store = check_store(broker)
        self._owned = self._store is None
        self._max_payload = max_payload
        self._defaults = defaults
        self._on_client = on_client
        self._lock = threading.RLock()
        self._client: Client | None = None
        #: The event loops that have it open: those that called `open`, and not `close` since.
        self._loops: set[asyncio.AbstractEventLoop] = set()
        self._sync: SyncClient | None = None
        self.is_open = False
        reset_after_fork(self)

    @property
    def broker(self) -> Store:
        """The broker, made at the first use. Raises ConfigError without a URL."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = open_broker(broker_url(self._url))
        return self._store

    async def open(self) -> Client:
        """The client, open for the running event loop too. Raises BrokerError."""
        loop = asyncio.get_running_loop()
        if loop in self._loops and self._client is not None:
            return self._client
        entered = False
        if self._owned and not self.is_open:
            await self.broker.__aenter__()
            entered = True
        with self._lock:
            superfluous = entered and self.is_open  # another caller opened it meanwhile
            self.is_open = True
            self._loops = {other for other in self._loops if not other.is_closed()} | {loop}
            client = self._client = self._client or self._make_client()
        if superfluous:
            await self.broker.__aexit__(None, None, None)
        return client

    def _make_client(self) -> Client:
        client = Client(self.broker, max_payload=self._max_payload, **self._defaults)
        self._on_client(client)
        return client

    async def close(self) -> None:
        """Close it for this event loop. When no other loop has it open, close the broker, if it was opened here. It
        can be opened again."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._loops = {other for other in self._loops if other is not loop and not other.is_closed()}
            if self._loops or not self.is_open:
                return
            self.is_open = False
            self._client = None
        if self._owned:
            await self.broker.__aexit__(None, None, None)

    @property
    def sync(self) -> SyncClient:
        """The blocking client, opened by its first call and closed with the process."""
        if self._sync is None:
            from asynqio.sync.client import Client as SyncClient

            with self._lock:
                if self._sync is None:
                    client = SyncClient(self.broker, max_payload=self._max_payload, **self._defaults)
                    self._on_client(client.awaited)
                    self._sync = client.open(own_broker=self._owned, now=False)
        return self._sync

    def clients(self) -> list[Client]:
        """The clients made so far."""
        made = (self._client, self._sync.awaited if self._sync is not None else None)
        return [client for client in made if client is not None]

    def _after_fork(self) -> None:
        """The broker stays open in the child, but the parent's event loops do not exist there."""
        self._lock = threading.RLock()
        self._loops = set()
