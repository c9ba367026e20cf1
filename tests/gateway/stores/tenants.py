"""A tenant in a store that others use as well, and must find as they left it."""

from __future__ import annotations

from typing import Any, Self

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.core.access.grants import FULL_ACCESS
from asynqio.core.access.scope import Scope
from asynqio.core.info import ScheduleInfo, SchedulerInfo, WorkerInfo
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskState
from asynqio.gateway.stores.scoped.store import ScopedStore
from tests.builders import entry, failed, server_info

#: Queues of others: without a prefix, and of tenants whose prefixes contain each other and that of the tenant.
NEIGHBOURS = ("default", "t:default", "t1x:default", "x.t1:default", "t1", "t1x")
#: Their names of other things: ids of tasks, groups and schedules are those that the tests use.
FOREVER = 1e12


class TenantStore(ScopedStore):
    """The store of the tenant "t1". When it is opened, others use the store already; when it is closed, nothing of
    theirs has changed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, Scope("t1"), FULL_ACCESS)
        self._before: dict[str, Any] | None = None

    def clone(self) -> ScopedStore:
        return ScopedStore(self._store.clone(), self._scope, FULL_ACCESS)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._before is None:
            await settle_neighbours(self._store)
            self._before = await neighbours(self._store)
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            assert await neighbours(self._store) == self._before, (
                "the tenant has changed what belongs to others"
            )
        finally:
            await super().__aexit__(*exc)


async def settle_neighbours(store: Store) -> None:
    """Give each neighbour tasks in every state, locks, a group, a server, a scheduler and schedules."""
    now = store.clock.now()
    for at, queue in enumerate(NEIGHBOURS):
        await store.enqueue([entry("a", queue=queue, unique=FOREVER), entry("b", queue=queue)])
        [held, gone] = await store.dequeue([queue], 2, FOREVER, "server-1")
        await store.settle([failed(gone, now)])
        await store.enqueue(
            [
                entry("c", queue=queue, payload=b"2", unique=FOREVER),
                entry("d", queue=queue, at=now + FOREVER),
                entry("m", queue=queue, group="g"),
            ]
        )
        await store.pause_type(queue, "email:send", True)
        await store.register_schedules(queue, ["report"])
        worker = WorkerInfo(queue, held.message.id, "email:send", now)
        await store.beat(server_info(f"n{at}:1:x", queues={queue: 1}, workers=[worker]), FOREVER)
        await store.beat(
            SchedulerInfo(
                f"n{at}:1:x", "host", 1, now, [ScheduleInfo("report", "@daily", "", queue, "work")]
            ),
            FOREVER,
        )
    await store.record([FireEvent("report", "a", now)])
    await store.beat(server_info("t1:1:x", queues={}), FOREVER)
    await store.put_document("tenants", "t2", b"secret")


async def neighbours(store: Store) -> dict[str, Any]:
    """Everything of the neighbours that does not change by itself."""
    found: dict[str, Any] = {}
    for queue in NEIGHBOURS:
        infos = [info for state in TaskState for info in await store.tasks(Where(queue, state), Page(1_000))]
        [stats] = await store.stats([queue])
        found[queue] = (
            [(info.state, info.ref, info.payload, info.retried, info.pending_since) for info in infos],
            [(info.lease_expires_at, info.unique_key, info.last_error) for info in infos],
            [await store.lock_holder(queue, info.unique_key) for info in infos if info.unique_key],
            await store.attempts([info.ref for info in infos]),
            await store.paused_types([queue]),
            await store.schedule_states(queue),
            await store.groups(queue),
            (stats.paused, stats.processed_total, stats.failed_total, stats.evicted_total),
        )
    found["servers"] = [info for info in await store.servers() if not info.id.startswith("/t1:")]
    found["schedulers"] = [info for info in await store.schedulers() if not info.id.startswith("/t1:")]
    found["documents"] = await store.collection("tenants")
    return found
