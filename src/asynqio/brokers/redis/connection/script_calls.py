"""Calls that can be sent again: to another node of a cluster, or as EVAL when a server does not know a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asynqio.brokers.redis.connection.connection import Answer, Arg
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.scripts.script import Script
from asynqio.errors import BrokerError


class Call(asyncio.Future[Any]):
    """A pending reply with its command, to send it to another node (MOVED) or with the script's text (NOSCRIPT)."""

    __slots__ = ("args", "at_once", "hops", "key", "script", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop, key: str | None, args: tuple[Arg, ...]) -> None:
        super().__init__(loop=loop)
        self.key = key
        self.args = args
        #: Whether further commands are unlikely; see `Connection.send`.
        self.at_once = False
        #: For EVALSHA: the script, in case the server does not know it.
        self.script: Script | None = None
        #: The number of redirections, and the loop time at which resending ends (0: it was not resent yet).
        self.hops = 0
        self.until = 0.0


def run(
    loop: asyncio.AbstractEventLoop,
    script: Script,
    keys: Sequence[str],
    args: Sequence[Arg],
    at_once: bool = False,
) -> Call:
    """A call that runs a script."""
    call = Call(loop, keys[0] if keys else None, ("EVALSHA", script.sha, len(keys), *keys, *args))
    call.script = script
    call.at_once = at_once
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
