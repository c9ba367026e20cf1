"""Stores under test, with direct access to data that brokers do not expose."""

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


class StoreProbe(Protocol):
    """Reads lease owners and locks of a store directly."""

    @property
    def url(self) -> str: ...

    @property
    def lease_rounding(self) -> float:
        """Seconds by which a lease may be longer than requested."""
        ...

    @property
    def atomic_batch(self) -> int:
        """Number of tasks of one call that are stored atomically."""
        ...

    def owners(self) -> list[str]:
        """The lease owner of each active task, alive or dead: `<host>:<pid>:<id>`."""
        ...

    def locks(self) -> int:
        """The number of uniqueness locks."""
        ...


class SqliteProbe:
    """An SQLite file."""

    lease_rounding = 0.0
    atomic_batch = ENQUEUE_BATCH_SIZE

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


class RedisProbe:
    """A Redis server, or the masters of a cluster."""

    lease_rounding = 1.0  # Redis leases are rounded up to whole seconds, as in Go
    atomic_batch = BATCH_SIZE

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
        # Live workers continue meanwhile, so some tasks are settled by now.
        return [token.partition("/")[0] for token in tokens if token]

    def locks(self) -> int:
        return sum(len(server.cli("KEYS", "asynq:{*}:unique:*")) for server in self._servers)


def new_store(kind: str, folder: Path) -> StoreProbe:
    """An empty store of this kind."""
    match kind:
        case "redis":
            server = fresh_server()
            return RedisProbe(server.url, [server])
        case "redis-cluster":
            cluster = fresh_cluster()
            return RedisProbe(cluster.url, cluster.nodes)
        case _:
            return SqliteProbe(folder / "tasks.db")
