"""The Broker half of a scoped store: checked and stored on the way in, shown on the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

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
from asynqio.core.access.actions import Action
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Deferred, Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.gateway.stores.hand_back import hand_back
from asynqio.gateway.stores.scoped.cancellations import cancellations
from asynqio.gateway.stores.scoped.permissions import NEEDS
from asynqio.gateway.stores.scoped.servers import stored_scheduler, stored_server
from asynqio.gateway.stores.scoped.view import View

#: Seconds by which a task is deferred that was leased to a server whose permission does not cover its type: as a
#: server defers a task for which it has no handler, so that another one can take it.
NOT_PERMITTED_DELAY = 5.0


class ScopedBroker(View):
    """See ScopedStore."""

    async def ping(self) -> None:
        with self._names:
            await self._store.ping()

    def watch(self, topics: Iterable[Topic]) -> Watch:
        topics = list(topics)
        self._guard.queues("watch", (topic[1] for topic in topics))
        with self._names:
            return self._store.watch(map(self._names.stored_topic, topics))

    # --- enqueue ----------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        self._guard.message("check", entry.message)
        with self._names:
            self._store.check(self._names.stored_entry(entry))

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        self._guard.messages("enqueue", (entry.message for entry in entries))
        with self._names:
            return await self._store.enqueue([self._names.stored_entry(entry) for entry in entries])

    def producer(self, run: RunOnLoop) -> None:
        """None: threads use the event loop of the store."""

    # --- dequeue, leases, settle ------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        self._guard.queues("dequeue", queues)
        names, actions = self._names, NEEDS["dequeue"]
        with names:
            leases = await self._store.dequeue(
                names.stored_all(queues), limit, lease, names.stored_server(owner), timed=timed
            )
            shown = [names.shown_lease(held) for held in leases]
            if self._guard.depends_on_type(actions, queues):
                allowed = [self._guard.may(actions, held.message.queue, held.message.type) for held in shown]
                others = [held for held, mine in zip(leases, allowed, strict=True) if not mine]
                await hand_back(self._store, others, Deferred(NOT_PERMITTED_DELAY))
                shown = [held for held, mine in zip(shown, allowed, strict=True) if mine]
            return shown

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        self._guard.messages("renew", (held.message for held in leases))
        with self._names:
            stored = [self._names.stored_lease(held) for held in leases]
            answers = await self._store.renew(stored, lease)
        for held, renewed in zip(leases, stored, strict=True):
            held.expires_at = renewed.expires_at
        return answers

    async def renew_owner(self, owner: str, lease: float) -> int:
        self._guard.anywhere("renew_owner")
        with self._names:
            return await self._store.renew_owner(self._names.stored_server(owner), lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        self._guard.messages("settle", (one.lease.message for one in settlements))
        with self._names:
            stored = [self._names.stored_settlement(one) for one in settlements]
            try:
                return await self._store.settle(stored)
            except Exception:
                # A repeated call must recognise what this one may have applied.
                for one, sent in zip(settlements, stored, strict=True):
                    one.lease.unconfirmed = sent.lease.unconfirmed
                raise

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        self._guard.messages("write_output", (output.lease.message for output in outputs))
        with self._names:
            return await self._store.write_output([self._names.stored_output(output) for output in outputs])

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        await self._require_tasks(NEEDS["attempts"], refs)
        with self._names:
            found = await self._store.attempts(self._names.stored_refs(refs))
        shown = [[self._names.shown_record(record) for record in records] for records in found]
        return [
            records
            if self._guard.may((Action.READ_RESULT,), ref.queue, None)
            else [msgspec.structs.replace(record, progress=None) for record in records]
            for ref, records in zip(refs, shown, strict=True)
        ]

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        self._guard.queues("paused_types", queues)
        with self._names:
            found = await self._store.paused_types(self._names.stored_all(queues))
        return {self._names.shown(queue): types for queue, types in found.items()}

    # --- maintenance ------------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        self._guard.queues("forward", queues)
        with self._names:
            return await self._store.forward(self._names.stored_all(queues), limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        self._guard.queues("expired", queues)
        with self._names:
            found = await self._store.expired(self._names.stored_all(queues), limit)
        leases = [self._names.shown_lease(held) for held in found.leases]
        actions = NEEDS["expired"]
        if self._guard.depends_on_type(actions, queues):
            leases = [one for one in leases if self._guard.may(actions, one.message.queue, one.message.type)]
        return Expired(leases, found.next_at)

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        self._guard.queues("accepts_writes", queues)
        with self._names:
            return await self._store.accepts_writes(self._names.stored_all(queues))

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        self._guard.queues("sweep", queues)
        with self._names:
            return await self._store.sweep(self._names.stored_all(queues), limit)

    # --- groups: their members can have any type --------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        for queue in queues:
            self._guard.whole(NEEDS["claim_groups"], queue)
        with self._names:
            found = await self._store.claim_groups(self._names.stored_all(queues), policy, limit)
        return Claimed([self._names.shown_batch(batch) for batch in found.batches], found.next_at)

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        for batch in batches:
            self._guard.whole(NEEDS["renew_batches"], batch.queue)
        with self._names:
            return await self._store.renew_batches(
                [self._names.stored_batch(batch) for batch in batches], lease
            )

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        self._guard.whole(NEEDS["merge_group"], batch.queue)
        if merged.message.queue != batch.queue:  # a task of its queue takes the place of the members
            self._guard.messages("enqueue", [merged.message])
        with self._names:
            return await self._store.merge_group(
                self._names.stored_batch(batch), self._names.stored_entry(merged)
            )

    async def delete_batch(self, batch: GroupBatch) -> bool:
        self._guard.whole(NEEDS["delete_batch"], batch.queue)
        with self._names:
            return await self._store.delete_batch(self._names.stored_batch(batch))

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        self._guard.whole(NEEDS["return_batch"], batch.queue)
        with self._names:
            return await self._store.return_batch(self._names.stored_batch(batch), failure, archive=archive)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        self._guard.queues("register_schedules", [queue])
        with self._names:
            return await self._store.register_schedules(
                self._names.stored(queue), self._names.stored_all(ids)
            )

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        self._guard.messages("fire", (fire.entry.message for fire in fires))
        self._guard.messages("enqueue", (fire.entry.message for fire in fires))
        with self._names:
            return await self._store.fire(
                [
                    Fire(
                        self._names.stored(fire.schedule_id), fire.tick, self._names.stored_entry(fire.entry)
                    )
                    for fire in fires
                ]
            )

    async def record(self, events: Sequence[FireEvent]) -> None:
        self._guard.anywhere("record")
        with self._names:
            await self._store.record(
                [
                    FireEvent(self._names.stored(event.schedule_id), event.task_id, event.at)
                    for event in events
                ]
            )

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        self._guard.queues("prune_schedules", [queue])
        with self._names:
            return await self._store.prune_schedules(
                self._names.stored(queue), self._names.stored_all(ids), before
            )

    # --- servers and schedulers -------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        stored = self._registration("beat", info)
        with self._names:
            await self._store.beat(stored, ttl)

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        stored = self._registration("leave", info)
        with self._names:
            await self._store.leave(stored)

    def _registration(self, method: str, info: ServerInfo | SchedulerInfo) -> ServerInfo | SchedulerInfo:
        """The info as it is stored. A server needs the permission to work on its queues, a scheduler to serve its
        entries."""
        as_server, as_scheduler = ((action,) for action in NEEDS[method])
        if isinstance(info, SchedulerInfo):
            self._guard.somewhere(as_scheduler)
            self._guard.items(as_scheduler, ((entry.queue, entry.type) for entry in info.entries))
            return stored_scheduler(self._names, info)
        self._guard.somewhere(as_server)
        self._guard.items(as_server, ((queue, None) for queue in info.queues))
        return stored_server(self._names, info)

    # --- cancellation of running tasks ------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._require_tasks(NEEDS["cancel"], [ref for ref in refs if not self._guard.is_probe(ref)])
        with self._names:
            await self._store.cancel(self._names.stored_refs(refs), archive=archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        self._guard.anywhere("cancellations")
        return cancellations(self._store, self._names, self._guard)
