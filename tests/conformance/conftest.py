"""The brokers under test. Every test in this folder runs on each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.core.access.grants import FULL_ACCESS
from asynqio.core.access.scope import Scope
from asynqio.gateway.stores.coalescing import CoalescingStore
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.testing import FakeClock, Flaky
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server, shared_server
from tests.brokers.remote.support.gateway import behind_gateway, shared_gateway
from tests.gateway.stores.tenants import TenantStore

BROKERS = ["memory", "sqlite", "redis", "redis-cluster"]
#: Wrappers that must keep the contract too, by name: what wraps a broker, and the kind of that broker.
WRAPPERS: dict[str, tuple[Callable[[Store], Store], str]] = {
    "flaky": (lambda store: Flaky(store).broker, "memory"),
    "coalescing": (CoalescingStore, "memory"),
    "coalescing-redis": (CoalescingStore, "redis"),
    "scoped": (TenantStore, "memory"),
}
#: The `ws://` broker, by the kind of the store behind its gateway. Redis is there for what depends on its fences: the
#: operations on tasks.
REMOTE = {"remote": "memory", "remote-redis": "redis"}


def broker_of(kind: str) -> str:
    """The kind of the broker itself, without a wrapper or a gateway."""
    return REMOTE.get(kind) or (WRAPPERS[kind][1] if kind in WRAPPERS else kind)


def broker_url(kind: str, folder: Path) -> str:
    """The URL of an empty store of this kind."""
    if kind in REMOTE:
        if broker_of(kind) == "redis":
            fresh_server()
        return shared_gateway().url()
    match broker_of(kind):
        case "sqlite":
            return f"sqlite:///{folder}/tasks.db"
        case "redis":
            return fresh_server().url
        case "redis-cluster":
            return fresh_cluster().url
        case _:
            return "memory://"


def make_store(kind: str, url: str, clock: FakeClock) -> Store:
    """A broker of this kind, not yet open."""
    if kind in REMOTE:
        return behind_gateway(url, shared_server().url if broker_of(kind) == "redis" else "memory://", clock)
    store = open_broker(url, clock=clock)
    return WRAPPERS[kind][0](store) if kind in WRAPPERS else store


@pytest.fixture(params=[*BROKERS, "remote", *WRAPPERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(kind, tmp_path)


@pytest.fixture
async def broker(
    kind: str, url: str, clock: FakeClock, request: pytest.FixtureRequest
) -> AsyncIterator[Store]:
    """An empty, open store whose time is `clock`."""
    store = make_store(kind, url, clock)
    if kind == "scoped" and request.node.get_closest_marker("whole_store"):
        store = ScopedStore(open_broker(url, clock=clock), Scope(), FULL_ACCESS)
    async with store:
        yield store
