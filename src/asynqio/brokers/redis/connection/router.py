"""What a way to Redis can do, whether one server is at its end or many, and a command that can be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from asynqio.brokers.redis.connection.connection import Answer, Word
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.settings import Address
from asynqio.errors import BrokerError

#: Where to connect to; asked before each connect.
Locate: TypeAlias = Callable[[], Awaitable[Address]]


class Call(asyncio.Future[Any]):
    """An answer that is waited for, with what was asked: a server can say "not here" or "say all of it"."""

    __slots__ = ("hops", "key", "script", "until", "words")

    def __init__(self, loop: asyncio.AbstractEventLoop, key: str | None, words: tuple[Word, ...]) -> None:
        super().__init__(loop=loop)
        self.key = key
        self.words = words
        #: For EVALSHA: the script, in case that the server does not know it.
        self.script: Script | None = None
        #: How often it was sent elsewhere, and the loop's time at which that ends (0: it never was).
        self.hops = 0
        self.until = 0.0


def run(loop: asyncio.AbstractEventLoop, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Call:
    """The call that runs a script."""
    call = Call(loop, keys[0] if keys else None, ("EVALSHA", script.sha, len(keys), *keys, *args))
    call.script = script
    return call


def unknown_script(answer: Answer, error: BrokerError) -> bool:
    """Whether the server lacks the script (it restarted, failed over, or never saw it): then it is EVAL's turn.

    Nothing was run in this case, so that it is sent again cannot do harm.
    """
    if type(answer) is not Call or answer.script is None:
        return False
    if not isinstance(error, RedisError) or error.code != "NOSCRIPT":
        return False
    answer.words = ("EVAL", answer.script.text, *answer.words[2:])
    answer.script = None
    return True


class Command(Protocol):
    """Send a command to the server that holds `key` (None: to any master)."""

    def __call__(self, key: str | None, /, *words: Word) -> Awaitable[Any]: ...


class Way(Protocol):
    """One server that may change its place, or a cluster."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def command(self, key: str | None, /, *words: Word) -> Awaitable[Any]: ...

    def send(self, call: Call) -> None: ...

    async def everywhere(self, *words: Word) -> list[Any]: ...

    def masters(self) -> Mapping[str, Locate]:
        """Each master by a name, and how to find it. Empty while it is not known."""
        ...

    def master_of(self, key: str | None) -> str:
        """The name of the master that holds a key; empty while it is not known."""
        ...

    def is_away(self, key: str) -> bool:
        """Whether it is known that the master of this key is not there just now, though others may be."""
        ...

    def on_change(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Be told when `masters` changes. What it returns ends that."""
        ...
