"""Redis, whatever is behind the URL: a server, a socket, a master under sentinels, or a cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asynqio.brokers.redis.connection.cluster import Cluster
from asynqio.brokers.redis.connection.connection import Word
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import EarLink, Ears
from asynqio.brokers.redis.connection.router import Command, Way, run
from asynqio.brokers.redis.connection.standalone import One
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.errors import BrokerError, VersionMismatch

#: GETDEL, LMOVE, ZRANGE … REV and the client tracking that we rely on came with it (February 2021).
OLDEST_REDIS = (6, 2)


class Redis:
    """What a broker talks to. Commands of one turn of the event loop travel together."""

    #: Send a command to the server that holds the key (None: to any master): `await redis.command("k", "GET", "k")`.
    #: It is under way when this returns, whether it is awaited or not.
    command: Command

    def __init__(self, settings: RedisSettings) -> None:
        self.settings = settings
        self.clustered = settings.kind == "cluster"
        self._way: Way = Cluster(settings) if self.clustered else One(settings)
        self.command = self._way.command

    async def open(self) -> None:
        """Connect. Raises BrokerUnavailable after `patience`, VersionMismatch, or BrokerError if not let in."""
        try:
            await self._way.open()
            await self._check()
        except BaseException:
            await self._way.close()
            raise

    async def close(self) -> None:
        """Disconnect; calls that are still out fail."""
        await self._way.close()

    def is_away(self, key: str) -> bool:
        """Whether it is known that the master of this key is not there just now, though others may be."""
        return self._way.is_away(key)

    def master_of(self, key: str) -> str:
        """Which master has this key now; a name to compare."""
        return self._way.master_of(key)

    async def everywhere(self, *words: Word) -> list[Any]:
        """Send a command to each master."""
        return await self._way.everywhere(*words)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Awaitable[Any]:
        """Run a script where the first key is. A server that does not know it is given the text."""
        call = run(asyncio.get_running_loop(), script, keys, args)
        self._way.send(call)
        return call

    def ears(self, on_push: Callable[[list[Any]], None], on_up: Callable[[EarLink], Awaitable[None]]) -> Ears:
        """Connections that listen; see `Ears`."""
        return Ears(self.settings, self._way, on_push, on_up)

    async def _check(self) -> None:
        """Is it new enough, and is it what the URL says?"""
        try:
            info = (await self.command(None, "INFO", "server")).decode()
        except RedisError as error:
            if error.code == "NOPERM":
                return  # a user who may not look; the first command will tell
            raise
        version = _line(info, "redis_version")
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_REDIS:
            raise VersionMismatch(
                f"Redis at {self.settings.place} is version {version}: asynqio needs 6.2 or later, or Valkey"
            )
        match _line(info, "redis_mode"):
            case "cluster" if not self.clustered:
                advice = "a node of a cluster: write redis+cluster://"
            case "sentinel":
                advice = "a sentinel: write redis+sentinel://host:26379/name-of-the-master"
            case _:
                return
        raise BrokerError(f"Redis at {self.settings.place} is {advice}")


def _line(info: str, name: str) -> str:
    found = re.search(rf"^{name}:(.*?)\r?$", info, re.MULTILINE)
    return found[1] if found else ""
