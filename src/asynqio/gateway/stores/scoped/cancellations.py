"""Cancellations of a tenant's running tasks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Cancellation
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.gateway.stores.scoped.names import Names
from asynqio.gateway.stores.scoped.permissions import Guard


async def cancellations(store: Store, names: Names, guard: Guard) -> AsyncIterator[Cancellation]:
    """See Broker.cancellations. A request without a queue, as Go sends it, is passed on for each queue of the tenant
    in which the task is active."""
    requests = store.cancellations()
    try:
        with names:
            async for request in requests:
                for ref in await _targets(store, names, request):
                    if guard.cancellation(ref.queue):
                        yield Cancellation(ref, request.archive)
    finally:
        if isinstance(requests, AsyncGenerator):
            await requests.aclose()


async def _targets(store: Store, names: Names, request: Cancellation) -> list[TaskRef]:
    """The tasks of the tenant that a request concerns, as shown."""
    queue, id = request.ref
    if queue:
        return [TaskRef(names.shown(queue), id)] if names.owns(queue) else []
    queues = names.owned(await store.queues())
    infos = await store.find([TaskRef(names.stored(queue), id) for queue in queues])
    return [
        TaskRef(queue, id)
        for queue, info in zip(queues, infos, strict=True)
        if info is not None and info.state is TaskState.ACTIVE
    ]
