"""The Redis client: one server, a unix socket, a master monitored by sentinels, or a cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError, is_missing_command
from asynqio.brokers.redis.connection.push import PushConnection, PushConnections
from asynqio.brokers.redis.connection.script_calls import run
from asynqio.brokers.redis.connection.topologies.cluster import Cluster
from asynqio.brokers.redis.connection.topologies.router import Command, Router
from asynqio.brokers.redis.connection.topologies.standalone import Standalone
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError, VersionMismatch

#: GETDEL, LMOVE, ZRANGE … REV and client tracking, which asynqio uses, require this version (February 2021).
OLDEST_REDIS = (6, 2)


class RedisClient:
    """Sends commands and scripts. Commands issued in one iteration of the event loop are pipelined."""

    #: Send a command to the server that holds the key (None: to any master): `await redis.command("k", "GET", "k")`.
    #: It has been sent when this returns, whether it is awaited or not.
    command: Command

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.clustered = settings.kind == "cluster"
        self._router: Router = Cluster(settings) if self.clustered else Standalone(settings)
        self.command = self._router.command

    async def open(self) -> None:
        """Connect. Raises BrokerUnavailable after `patience` seconds, VersionMismatch, or BrokerError if refused."""
        try:
            await self._router.open()
            await self._check()
        except BaseException:
            await self._router.close()
            raise

    async def close(self) -> None:
        """Disconnect; pending calls fail."""
        await self._router.close()

    def is_away(self, key: str) -> bool:
        """Whether the master of this key is known to be down, while others may be up."""
        return self._router.is_away(key)

    def master_of(self, key: str) -> str:
        """The name of the master that holds this key now, for comparison."""
        return self._router.master_of(key)

    async def everywhere(self, *args: Arg) -> list[Any]:
        """Send a command to each master."""
        return await self._router.everywhere(*args)

    def run(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], *, at_once: bool = False
    ) -> Awaitable[Any]:
        """Run a script on the master of the first key. If the server does not know it, its text is sent.

        `at_once`: write the command without waiting for others that could be written with it.
        """
        call = run(asyncio.get_running_loop(), script, keys, args, at_once)
        self._router.send(call)
        return call

    async def locate(self) -> Address:
        """The address of the only master. Raises BrokerUnavailable while none is known."""
        [locate] = self._router.masters().values()
        return await locate()

    def push_connections(
        self,
        on_push: Callable[[list[Any]], None],
        on_up: Callable[[PushConnection], Awaitable[None]],
        on_moved: Callable[[], None] = lambda: None,
        on_unsupported: Callable[[BrokerError], None] = lambda error: None,
    ) -> PushConnections:
        """Connections that receive push messages; see `PushConnections`."""
        return PushConnections(self.settings, self._router, on_push, on_up, on_moved, on_unsupported)

    async def _check(self) -> None:
        """Check the version, and that the server is of the kind that the URL names."""
        try:
            info = (await self.command(None, "INFO", "server")).decode()
        except RedisError as error:
            if is_missing_command(error):
                return  # a real problem shows with the first command
            raise
        version = _line(info, "redis_version")
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_REDIS:
            raise VersionMismatch(
                f"Redis at {self.settings.location} is version {version}: asynqio requires 6.2 or later, or Valkey"
            )
        match _line(info, "redis_mode"):
            case "cluster" if not self.clustered:
                advice = "a node of a cluster: write redis+cluster://"
            case "sentinel":
                advice = "a sentinel: write redis+sentinel://host:26379/name-of-the-master"
            case _:
                return
        raise BrokerError(f"Redis at {self.settings.location} is {advice}")


def _line(info: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)\r?$", info, re.MULTILINE)
    return found[1] if found else ""
