"""What both halves of a scoped store have in common."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Access
from asynqio.core.access.scope import Scope
from asynqio.core.task.message import TaskRef
from asynqio.gateway.stores.scoped.names import Names
from asynqio.gateway.stores.scoped.permissions import Guard


class View:
    """A store, the names of a tenant in it, and the checks of what a principal may do."""

    def __init__(self, store: Store, scope: Scope, access: Access) -> None:
        self._store = store
        self._scope = scope
        self._names = Names(scope)
        self._guard = Guard(access)

    async def _require_tasks(
        self, actions: Sequence[Action], refs: Sequence[TaskRef], queue: str | None = None
    ) -> None:
        """Check actions on tasks that are only named, or as if they were in another queue. Raises AccessDenied, which
        names the first task that is forbidden."""
        queues = [ref.queue if queue is None else queue for ref in refs]
        self._guard.items(actions, ((name, None) for name in queues))
        if self._guard.depends_on_type(actions, queues):
            with self._names:
                found = await self._store.find(self._names.stored_refs(refs))
            kinds = (
                None if info is None else (name, info.type) for name, info in zip(queues, found, strict=True)
            )
            self._guard.items(actions, kinds)
