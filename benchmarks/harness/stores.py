"""Temporary stores for cases: empty at first, removed afterwards."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from asynqio import open_broker
from asynqio.brokers.contract.broker import Store
from benchmarks.network.proxy import DelayingProxy
from benchmarks.redis import server

_numbers = itertools.count(1)


@contextlib.contextmanager
def temporary_url(kind: str) -> Iterator[str]:
    """The URL of an empty store."""
    if kind == "memory":
        yield f"memory://bench-{next(_numbers)}"
        return
    if kind == "redis":
        with server.running() as port:
            yield f"redis://127.0.0.1:{port}/0"
        return
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        yield f"sqlite:///{directory}/tasks.db"


@contextlib.asynccontextmanager
async def temporary_store(kind: str) -> AsyncIterator[Store]:
    """An open, empty store."""
    with temporary_url(kind) as url:
        async with open_broker(url) as store:
            yield store


@contextlib.contextmanager
def delayed(url: str, seconds: float) -> Iterator[str]:
    """The URL of the same Redis through a proxy that adds `seconds` to each round trip."""
    parts = urlsplit(url)
    assert parts.port is not None
    with DelayingProxy(parts.port, seconds / 2) as proxy:
        yield parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
