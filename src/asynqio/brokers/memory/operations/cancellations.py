"""Requests to cancel running tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.task.message import TaskRef


def cancel(store: MemoryStore, refs: Sequence[TaskRef], archive: bool) -> None:
    """See Broker.cancel."""
    with store.lock:
        for ref in refs:
            store.tokens += 1
            store.cancellations.append((store.tokens, Cancellation(ref, archive)))
    store.signals.publish([("cancel",)])


async def cancellations(store: MemoryStore) -> AsyncIterator[Cancellation]:
    """See Broker.cancellations."""
    with store.signals.watch([("cancel",)]) as watch:
        last = store.tokens
        while True:
            with store.lock:
                news = [(number, request) for number, request in store.cancellations if number > last]
            for last, request in news:  # noqa: B007
                yield request
            await watch.wait()
