"""The tasks that clients of this gateway hold, and their leases.

A client of the asynq-server protocol ends a task by its queue and id alone, and never renews a lease. So the gateway
keeps the lease: it renews it while the client is connected and appears to run the task, and presents it when the
task ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from asynqio.brokers.contract.broker import Store
from asynqio.clock import Clock
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskRef
from asynqio.gateway.principals.principal import Principal

#: Seconds after which a task is expected in the heartbeats of its consumer, and the number of heartbeats in a row
#: without it from which on its lease is not renewed.
LISTED_AFTER, UNLISTED_STATES = 10.0, 2


class Holder(Protocol):
    """The client that holds a task (`Session`)."""

    store: Store
    principal: Principal
    held: dict[TaskRef, HeldTask]
    closed: bool

    def push(self, text: str) -> None: ...


class HeldTask:
    """One task that a session holds. `ref` names it as it is stored."""

    __slots__ = ("handed_at", "lease", "ref", "session", "started_at", "unlisted")

    def __init__(self, ref: TaskRef, lease: Lease, session: Holder, clock: Clock) -> None:
        self.ref = ref
        self.lease = lease
        self.session = session
        #: When it was handed out: epoch seconds, and monotonic time.
        self.started_at = clock.now()
        self.handed_at = clock.monotonic()
        #: Heartbeats in a row that do not list it.
        self.unlisted = 0

    @property
    def is_abandoned(self) -> bool:
        """Whether its consumer is connected, but no longer runs it."""
        return self.unlisted >= UNLISTED_STATES


class HeldTasks:
    """All of them, by id and stored queue."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, HeldTask]] = {}

    def add(self, held: HeldTask) -> None:
        """Register a task. It replaces an earlier holder of the same task, whose lease is lost."""
        self._by_id.setdefault(held.ref.id, {})[held.ref.queue] = held
        held.session.held[held.ref] = held

    def get(self, ref: TaskRef) -> HeldTask | None:
        queues = self._by_id.get(ref.id)
        return None if queues is None else queues.get(ref.queue)

    def find(self, ref: TaskRef) -> list[HeldTask]:
        """The tasks with this id; with an empty queue, those of all queues."""
        queues = self._by_id.get(ref.id, {})
        if not ref.queue:
            return list(queues.values())
        held = queues.get(ref.queue)
        return [] if held is None else [held]

    def remove(self, held: HeldTask) -> None:
        """Forget a task, unless another session holds it by now."""
        held.session.held.pop(held.ref, None)
        queues = self._by_id.get(held.ref.id, {})
        if queues.get(held.ref.queue) is held:
            del queues[held.ref.queue]
            if not queues:
                del self._by_id[held.ref.id]

    def __iter__(self) -> Iterator[HeldTask]:
        return (held for queues in list(self._by_id.values()) for held in list(queues.values()))

    def __len__(self) -> int:
        return sum(map(len, self._by_id.values()))


def compare_with_heartbeat(held: Collection[HeldTask], listed: Collection[TaskRef], now: float) -> None:
    """Note which tasks of a consumer its heartbeat lists. `listed` are stored names; `now` is monotonic time."""
    for task in held:
        if task.ref in listed:
            task.unlisted = 0
        elif now - task.handed_at >= LISTED_AFTER:
            task.unlisted += 1
