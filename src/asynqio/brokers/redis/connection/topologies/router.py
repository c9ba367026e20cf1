"""The Router protocol: sends commands to one server or to the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.script_calls import Call
from asynqio.brokers.redis.settings import Address

#: Returns the address to connect to; called before each connect.
Locate: TypeAlias = Callable[[], Awaitable[Address]]


class Command(Protocol):
    """Send a command to the server that holds `key` (None: to any master)."""

    def __call__(self, key: str | None, /, *args: Arg) -> Awaitable[Any]: ...


class Router(Protocol):
    """Routes commands to one server, whose address may change, or to a cluster."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def command(self, key: str | None, /, *args: Arg) -> Awaitable[Any]: ...

    def send(self, call: Call) -> None: ...

    async def everywhere(self, *args: Arg) -> list[Any]: ...

    def masters(self) -> Mapping[str, Locate]:
        """The masters by name, and how to locate each. Empty while unknown."""
        ...

    def master_of(self, key: str | None) -> str:
        """The name of the master that holds a key; empty while unknown."""
        ...

    def is_away(self, key: str) -> bool:
        """Whether the master of this key is known to be down, while others may be up."""
        ...

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when `masters` or `master_of` may have changed. The returned function ends this."""
        ...
