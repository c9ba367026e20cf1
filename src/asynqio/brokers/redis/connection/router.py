"""The Router protocol: send commands to one server or to the nodes of a cluster; and calls that can be resent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from asynqio.brokers.redis.connection.connection import Answer, Arg
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.settings import Address
from asynqio.errors import BrokerError

#: Returns the address to connect to; called before each connect.
Locate: TypeAlias = Callable[[], Awaitable[Address]]


class Call(asyncio.Future[Any]):
    """A pending reply with its command, to send it to another node (MOVED) or with the script's text (NOSCRIPT)."""

    __slots__ = ("args", "hops", "key", "script", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, key: str | None, args: tuple[Arg, ...]) -> None:
        super().__init__(loop=loop)
        self.key = key
        self.args = args
        #: For EVALSHA: the script, in case the server does not know it.
        self.script: Script | None = None
        #: The number of redirections, and the loop time at which resending ends (0: it was not resent yet).
        self.hops = 0
        self.until = 0.0


def run(loop: asyncio.AbstractEventLoop, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Call:
    """A call that runs a script."""
    call = Call(loop, keys[0] if keys else None, ("EVALSHA", script.sha, len(keys), *keys, *args))
    call.script = script
    return call


def unknown_script(answer: Answer, error: BrokerError) -> bool:
    """Whether the server does not know the script (restart, failover). If so, the call becomes an EVAL to resend.

    Nothing was executed in this case, so sending it again is safe.
    """
    if type(answer) is not Call or answer.script is None:
        return False
    if not isinstance(error, RedisError) or error.code != "NOSCRIPT":
        return False
    answer.args = ("EVAL", answer.script.text, *answer.args[2:])
    answer.script = None
    return True


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
        """Call `callback` when `masters` changes. The returned function ends this."""
        ...
