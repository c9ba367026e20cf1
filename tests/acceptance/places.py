"""Where tasks are kept, and what only the store itself can say of them, per kind of broker."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.sqlite.broker import ENQUEUE_BATCH_SIZE
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server
from tests.brokers.redis.support.servers import RedisServer


class Place(Protocol):
    """A store, seen past its broker: no broker tells who holds a task, or how many locks there are."""

    @property
    def url(self) -> str: ...

    @property
    def grain(self) -> float:
        """Seconds by which a lease can outlast what was asked for."""
        ...

    @property
    def together(self) -> int:
        """How many of the tasks of one call are stored wholly or not at all."""
        ...

    def owners(self) -> list[str]:
        """Who holds each active task, dead or alive: `<host>:<pid>:<id>`."""
        ...

    def locks(self) -> int:
        """How many uniqueness locks are held."""
        ...


class SqlitePlace:
    """A file."""

    grain = 0.0
    together = ENQUEUE_BATCH_SIZE

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    def owners(self) -> list[str]:
        return [str(owner) for (owner,) in self._ask("SELECT owner FROM tasks WHERE state = 'active'")]

    def locks(self) -> int:
        return len(self._ask("SELECT 1 FROM locks"))

    def _ask(self, question: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=10)) as file:
            return file.execute(question).fetchall()


class RedisPlace:
    """One server, or the masters of a cluster."""

    grain = 1.0  # Go's leases end with a whole second: ours are rounded up to one
    together = BATCH_SIZE

    def __init__(self, url: str, servers: Sequence[RedisServer]) -> None:
        self.url = url
        self._servers = servers

    def owners(self) -> list[str]:
        tokens = [
            server.cli("HGET", f"{active.removesuffix('active')}t:{id}", "asynqio:lease")
            for server in self._servers
            for active in server.cli("KEYS", "asynq:{*}:active")
            for id in server.cli("LRANGE", active, 0, -1)
        ]
        # Those who live go on meanwhile: some of it is settled by now.
        return [token.partition("/")[0] for token in tokens if token]

    def locks(self) -> int:
        return sum(len(server.cli("KEYS", "asynq:{*}:unique:*")) for server in self._servers)


def fresh_place(kind: str, folder: Path) -> Place:
    """An empty store of this kind."""
    match kind:
        case "redis":
            server = fresh_server()
            return RedisPlace(server.url, [server])
        case "redis-cluster":
            cluster = fresh_cluster()
            return RedisPlace(cluster.url, cluster.nodes)
        case _:
            return SqlitePlace(folder / "tasks.db")
