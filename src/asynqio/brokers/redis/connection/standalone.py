"""Routes commands to one master: a server, a unix socket, or the master that the sentinels name."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asynqio.brokers.redis.connection.connection import Answer, Arg, pack
from asynqio.brokers.redis.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.redis.connection.router import Call, Locate, unknown_script
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable


class Standalone:
    """Sends all commands over one connection."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._locate: Locate = self._by_sentinels if settings.kind == "sentinel" else self._as_given
        self._sentinels = [*settings.nodes]
        self._connection = ReconnectingConnection(
            settings, self._locate, only_master=settings.kind == "sentinel", on_error=self._on_error
        )

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    def command(self, key: str | None, /, *args: Arg) -> Awaitable[Any]:
        return self._connection.call(*args)

    def send(self, call: Call) -> None:
        self._connection.send(pack(call.args), call)

    async def everywhere(self, *args: Arg) -> list[Any]:
        return [await self._connection.call(*args)]

    def masters(self) -> Mapping[str, Locate]:
        return {self._settings.location: self._locate}

    def master_of(self, key: str | None) -> str:
        return self._settings.location

    def is_away(self, key: str) -> bool:
        return False  # there is no other server, so calls wait for this one

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def _on_error(self, answer: Answer, error: BrokerError) -> bool:
        if not unknown_script(answer, error):
            return False
        assert isinstance(answer, Call)
        self.send(answer)
        return True

    async def _as_given(self) -> Address:
        return self._settings.path or self._settings.nodes[0]

    async def _by_sentinels(self) -> Address:
        """Query the sentinels one by one. Raises BrokerUnavailable while none knows a master."""
        # Imported here because only Sentinel needs it, and in a thread because it reads many files.
        await asyncio.to_thread(importlib.import_module, "redis.asyncio.sentinel")
        from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError as DriverError
        from redis.retry import Retry

        given = self._settings
        options: dict[str, Any] = {
            "socket_timeout": given.timeout,
            "socket_connect_timeout": given.connect_timeout,
            "username": given.sentinel_username or None,
            "password": given.sentinel_password or None,
            # No retry here: the next sentinel is more likely to answer.
            "retry": Retry(NoBackoff(), 0),
        }
        if given.tls:
            options |= {
                "ssl": True,
                "ssl_ca_certs": given.ca or None,
                "ssl_certfile": given.cert or None,
                "ssl_keyfile": given.key or None,
                "ssl_cert_reqs": "none" if given.verify == "none" else "required",
                "ssl_check_hostname": given.verify == "full",
            }
        # Made in a thread too: it looks up its own version among the installed packages.
        async with await asyncio.to_thread(Sentinel, self._sentinels, sentinel_kwargs=options) as sentinel:
            try:
                host, port = await sentinel.discover_master(given.master)
            except MasterNotFoundError as error:
                raise BrokerUnavailable(
                    f"no sentinel knows a running master {given.master!r}: check the sentinels, the name, and "
                    "sentinel_password="
                ) from error
            except DriverError as error:
                raise BrokerUnavailable(f"a sentinel replied: {error}") from error
            # The driver moves the sentinel that answered to the front: start there next time.
            first = sentinel.sentinels[0].connection_pool.connection_kwargs
        known = (first["host"], first["port"])
        self._sentinels = [known, *(node for node in self._sentinels if node != known)]
        return str(host), int(port)
