"""`memory://`: life cycle and the Broker half of the contract. For tests, and the reference for other brokers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self, Unpack

from asynqio.brokers.contract.producer import RunOnLoop
from asynqio.brokers.contract.results import (
    Admission,
    Cancellation,
    Claimed,
    Expired,
    Fired,
    Forwarded,
    Output,
    Replaced,
    Swept,
)
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.memory.admin.stats import paused_types
from asynqio.brokers.memory.inspection import MemoryInspection
from asynqio.brokers.memory.operations import cancellations, groups, maintenance, schedules, servers
from asynqio.brokers.memory.operations.attempts import attempts
from asynqio.brokers.memory.operations.dequeue import dequeue
from asynqio.brokers.memory.operations.enqueue import enqueue
from asynqio.brokers.memory.operations.leases import renew, renew_owner
from asynqio.brokers.memory.operations.output import write_output
from asynqio.brokers.memory.operations.settle import settle
from asynqio.brokers.memory.producer import MemoryProducer
from asynqio.brokers.memory.storage.store import Archive, MemoryStore, shared_store
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import WrongProcess


class MemoryBroker(MemoryInspection):
    """A `Store` in this process. `memory://` is private to its broker and clones, `memory://name` shared by name.

    Every call is one synchronous step under a lock, so a cancelled caller leaves no partial change, and clones may be
    used from other threads.
    """

    shared = False
    round_trip = 0.0

    def __init__(self, store: MemoryStore | None = None, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._store = store or MemoryStore()

    @classmethod
    def named(cls, name: str, *, clock: Clock | None = None, **archive: Unpack[Archive]) -> Self:
        """The broker of `memory://name`; of `memory://` if the name is empty."""
        return cls(shared_store(name, **archive) if name else MemoryStore(**archive), clock=clock)

    @property
    def url(self) -> str:
        return f"memory://{self._store.name}"

    @property
    def archive_limit(self) -> int:
        return self._store.archive_limit

    @property
    def private_url(self) -> str:
        return self.url

    def clone(self) -> MemoryBroker:
        return MemoryBroker(self._store, clock=self.clock)

    async def __aenter__(self) -> Self:
        with contextlib.suppress(WrongProcess), self._store.lock:  # its first operation raises
            self._store.users += 1
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(WrongProcess), self._store.lock:
            self._store.users -= 1

    async def ping(self) -> None:
        return None

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._store.signals.watch(topics)

    # --- enqueue ----------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        return None

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        return enqueue(self._store, self.clock.now(), entries)

    def producer(self, run: RunOnLoop) -> MemoryProducer:
        return MemoryProducer(self._store, self.clock)

    # --- dequeue, leases, settle ------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        return dequeue(self._store, self.clock.now(), queues, limit, lease, owner)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return paused_types(self._store, queues)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        return renew(self._store, self.clock.now(), leases, lease)

    async def renew_owner(self, owner: str, lease: float) -> int:
        return renew_owner(self._store, self.clock.now(), owner, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return settle(self._store, self.clock.now(), settlements)

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        return write_output(self._store, outputs)

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return attempts(self._store, self.clock.now(), refs)

    # --- maintenance ------------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return maintenance.forward(self._store, self.clock.now(), queues, limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        return maintenance.expired(self._store, self.clock.now(), queues, limit)

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        return [True] * len(queues)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return maintenance.sweep(self._store, self.clock.now(), queues, limit)

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        return groups.claim_groups(self._store, self.clock.now(), queues, policy, limit)

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        return groups.renew_batches(self._store, self.clock.now(), batches, lease)

    async def delete_batch(self, batch: GroupBatch) -> bool:
        return groups.delete_batch(self._store, batch)

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        return groups.return_batch(self._store, self.clock.now(), batch, failure, archive=archive)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        return groups.merge_group(self._store, self.clock.now(), batch, merged)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return schedules.register_schedules(self._store, self.clock.now(), queue, ids)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        return schedules.fire(self._store, self.clock.now(), fires)

    async def record(self, events: Sequence[FireEvent]) -> None:
        schedules.record(self._store, events)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        return schedules.prune_schedules(self._store, self.clock.now(), queue, ids, before)

    # --- servers ----------------------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        servers.beat(self._store, self.clock.now(), info, ttl)

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        servers.leave(self._store, info)

    # --- cancellation of running tasks ------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        cancellations.cancel(self._store, refs, archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        return cancellations.cancellations(self._store)
