"""A store as one principal may see and use it."""

from __future__ import annotations

from typing import Self

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import MANAGEMENT
from asynqio.core.access.grants import Access
from asynqio.core.access.scope import Scope
from asynqio.gateway.stores.scoped.broker import ScopedBroker
from asynqio.gateway.stores.scoped.inspection import ScopedInspection
from asynqio.gateway.stores.scoped.permissions import NEEDS


class ScopedStore(ScopedBroker, ScopedInspection):
    """`store` with the queues of `scope` only, by the names without prefix, and with the actions that `access`
    permits.

    The principal can neither name nor notice what belongs to others: queues, tasks, locks, servers, schedules and
    their events have the names of the tenant on the way in and on the way out, in errors too. A call that is not
    permitted raises AccessDenied before anything is sent; of a batch, one forbidden item is enough. Tasks of types
    that the principal may not read are left out, payloads and results that it may not read are None. `dequeue` defers
    a task of a type that the principal may not run. What concerns all tasks of a queue takes permission for all
    types.

    Without a prefix, and with access to everything, it passes on all calls but those that manage the store.
    """

    #: Another process could not open the store with the permissions of this principal.
    shared = False

    def __init__(self, store: Store, scope: Scope, access: Access) -> None:
        super().__init__(store, scope, access)
        self.clock = store.clock
        if not scope.prefix and access.everything:
            for method, actions in NEEDS.items():
                if MANAGEMENT.isdisjoint(actions):
                    setattr(self, method, getattr(store, method))

    def clone(self) -> ScopedStore:
        return ScopedStore(self._store.clone(), self._scope, self._guard.access)

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def private_url(self) -> str:
        """The URL without secrets: they open the whole store."""
        return self._store.url

    @property
    def archive_limit(self) -> int:
        return self._store.archive_limit

    @property
    def round_trip(self) -> float:
        return self._store.round_trip
