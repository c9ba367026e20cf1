"""Where a case works: a fresh store that is gone afterwards."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from asynqio import open_broker
from asynqio.brokers.contract.broker import Store
from benchmarks import redis_server
from benchmarks.proxy import DelayingProxy

_numbers = itertools.count(1)


@contextlib.contextmanager
def fresh_url(kind: str) -> Iterator[str]:
    """The URL of a store of this kind in which nothing is."""
    if kind == "memory":
        yield f"memory://bench-{next(_numbers)}"
        return
    if kind == "redis":
        with redis_server.running() as port:
            yield f"redis://127.0.0.1:{port}/0"
        return
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        yield f"sqlite:///{directory}/tasks.db"


@contextlib.asynccontextmanager
async def fresh_store(kind: str) -> AsyncIterator[Store]:
    """A store of this kind in which nothing is, open."""
    with fresh_url(kind) as url:
        async with open_broker(url) as store:
            yield store


@contextlib.contextmanager
def delayed(url: str, seconds: float) -> Iterator[str]:
    """The same Redis, further away: every round trip takes so much longer."""
    parts = urlsplit(url)
    assert parts.port is not None
    with DelayingProxy(parts.port, seconds / 2) as proxy:
        yield parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
