"""Routes commands to one master: a server, a unix socket, or the master that the sentinels name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asynqio.brokers.redis.connection.connection import Answer, Arg, pack
from asynqio.brokers.redis.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.redis.connection.script_calls import Call, unknown_script
from asynqio.brokers.redis.connection.topologies.router import Locate
from asynqio.brokers.redis.connection.topologies.sentinels import Sentinels
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError


class Standalone:
    """Sends all commands over one connection."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._locate: Locate = Sentinels(settings).locate if settings.kind == "sentinel" else self._as_given
        self._connection = ReconnectingConnection(
            settings,
            self._locate,
            only_master=settings.kind == "sentinel",
            on_error=self._on_error,
            on_down=self._on_down,
        )
        self._listeners: list[Callable[[], None]] = []

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    def command(self, key: str | None, /, *args: Arg) -> Awaitable[Any]:
        return self._connection.call(*args)

    def send(self, call: Call) -> None:
        self._connection.send(pack(call.args), call, at_once=call.at_once)

    async def everywhere(self, *args: Arg) -> list[Any]:
        return [await self._connection.call(*args)]

    def masters(self) -> Mapping[str, Locate]:
        return {self._settings.location: self._locate}

    def master_of(self, key: str | None) -> str:
        return self._settings.location

    def is_away(self, key: str) -> bool:
        return False  # there is no other server, so calls wait for this one

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def _on_down(self) -> None:
        """The connection is lost, perhaps because the server has become a replica: another one may be master."""
        for callback in [*self._listeners]:
            callback()

    def _on_error(self, answer: Answer, error: BrokerError) -> bool:
        if not unknown_script(answer, error):
            return False
        assert isinstance(answer, Call)
        self.send(answer)
        return True

    async def _as_given(self) -> Address:
        return self._settings.path or self._settings.nodes[0]
