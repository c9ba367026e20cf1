"""Running servers and schedulers: registered with an expiry that heartbeats extend."""

from __future__ import annotations

from typing import TypeVar

from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.info import SchedulerInfo, ServerInfo

T = TypeVar("T")


def beat(store: MemoryStore, now: float, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
    """See Broker.beat."""
    with store.lock:
        if isinstance(info, SchedulerInfo):
            store.schedulers[info.id] = (info, now + ttl)
        else:
            store.servers[info.id] = (info, now + ttl)


def leave(store: MemoryStore, info: ServerInfo | SchedulerInfo) -> None:
    """See Broker.leave."""
    with store.lock:
        if isinstance(info, SchedulerInfo):
            store.schedulers.pop(info.id, None)
        else:
            store.servers.pop(info.id, None)


def servers(store: MemoryStore, now: float) -> list[ServerInfo]:
    """See Inspection.servers."""
    with store.lock:
        return _alive(store.servers, now)


def schedulers(store: MemoryStore, now: float) -> list[SchedulerInfo]:
    """See Inspection.schedulers."""
    with store.lock:
        return _alive(store.schedulers, now)


def _alive(registered: dict[str, tuple[T, float]], now: float) -> list[T]:
    """Delete the expired registrations; returns the others."""
    for id in [id for id, (_, until) in registered.items() if until <= now]:
        del registered[id]
    return [info for info, _ in registered.values()]
