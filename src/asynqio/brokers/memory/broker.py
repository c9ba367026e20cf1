"""`memory://`: the whole contract in one process. What users test with, and the yardstick for the others."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self, Unpack

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import (
    Admission,
    Cancellation,
    Claimed,
    Expired,
    Forwarded,
    Output,
    Replaced,
    Swept,
)
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.memory.inspection import MemoryInspection
from asynqio.brokers.memory.operations.schedules import MemorySchedules
from asynqio.brokers.memory.storage.queue import Queue, Record
from asynqio.brokers.memory.storage.store import Archive, MemoryStore, shared_store
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord, under_way
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task import unique_locks as locks
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique_locks import FINISHED, Meeting

_DUE = (TaskState.SCHEDULED, TaskState.RETRY)


class MemoryBroker(MemorySchedules, MemoryInspection):
    """A `Store` in this process. `memory://` is one of its own, `memory://name` is shared by name.

    Every call is one synchronous step under a lock, so a cancelled caller leaves no half state, and clones
    may be used from other threads.
    """

    shared = False
    round_trip = 0.0

    def __init__(self, store: MemoryStore | None = None, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._store = store or MemoryStore()

    @classmethod
    def named(cls, name: str, *, clock: Clock | None = None, **archive: Unpack[Archive]) -> Self:
        """The broker of `memory://name`; of `memory://`, if it is empty."""
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
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def ping(self) -> None:
        return None

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._store.signals.watch(topics)

    # --- tasks in ---------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        return None

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        now = self.clock.now()
        topics: set[Topic] = set()
        with self._store.lock:
            answers = [self._admit(entry, now, topics) for entry in entries]
        self._store.signals.publish(topics)
        return answers

    def _admit(self, entry: Entry, now: float, topics: set[Topic]) -> Admission | Replaced:
        message = entry.message
        queue = self._store.queue(message.queue)
        if entry.unique_ttl > 0 and (holder := queue.locked(entry.lock, now)) is not None:
            record = queue.records.get(holder)
            state = record.state if record is not None and not record.batch else None
            meeting = locks.meet(entry, record.message if record is not None else None, state)
            if meeting is Meeting.REFUSED:
                return Admission.DUPLICATE
            if meeting is Meeting.CHANGES and record is not None:
                queue.change(record, entry, now)
                topics.add(_TOPICS[record.state](message.queue))
                return Replaced(holder)
        there = queue.records.get(message.id)
        if there is not None:
            if not entry.replace_finished or there.state not in FINISHED:
                return Admission.ID_CONFLICT
            queue.lift(there)
            queue.forget(there)
        queue.admit(entry, now)
        topics.add(_TOPICS[entry.state](message.queue))
        return Admission.ACCEPTED

    # --- tasks out --------------------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        expires_at = self.clock.now() + lease
        leases: list[Lease] = []
        store = self._store
        with store.lock:
            # One token for the whole batch: a task cannot be in it twice.
            store.tokens += 1
            for name in queues:
                queue = store.queues.get(name)
                if queue is None or queue.paused:
                    continue
                for _ in range(min(limit - len(leases), len(queue.pending))):
                    leases.append(queue.lease_next(store.tokens, owner, expires_at))
                if len(leases) >= limit:
                    break
        self._store.signals.publish(self._store.changed(lease.message.ref for lease in leases))
        return leases

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        with self._store.lock:
            known = (self._store.queues[name] for name in queues if name in self._store.queues)
            return {queue.name: dict(queue.paused_types) for queue in known if queue.paused_types}

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        expires_at = self.clock.now() + lease
        answers = []
        with self._store.lock:
            for held in leases:
                record = self._held(held)
                if record is not None:
                    record.at = held.expires_at = expires_at
                answers.append(record is not None)
        return answers

    async def renew_owner(self, owner: str, lease: float) -> int:
        expires_at = self.clock.now() + lease
        renewed = 0
        with self._store.lock:
            for queue in self._store.queues.values():
                for record in queue.active.values():
                    if record.owner == owner:
                        record.at = expires_at
                        renewed += 1
        return renewed

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        now = self.clock.now()
        day = int(now // 86_400)
        answers: list[bool] = []
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        topics: set[Topic] = set()
        queues = self._store.queues
        with self._store.lock:
            # Naming the ended tasks costs more than settling them, so it is done only when somebody waits.
            # Asked under the lock: whoever watches from now on will find the new states.
            waited_for = self._store.signals.watched("ended")
            followed = self._store.signals.watched("changed")
            for settlement in settlements:
                message = settlement.lease.message
                queue = queues.get(message.queue)
                record = queue.active.get(message.id) if queue is not None else None
                if queue is None or record is None or record.token != settlement.lease.token:
                    answers.append(False)
                    continue
                self._settle(queue, record, settlement, now)
                if settlement.processed:
                    counted = counts[message.queue]
                    counted[0] += 1
                    counted[1] += settlement.failed
                if settlement.to is TaskState.PENDING:
                    topics.add(signals.pending(message.queue))
                elif settlement.to is TaskState.RETRY:
                    topics.add(signals.due(message.queue))
                elif waited_for:
                    topics.add(signals.ended(message.ref))
                if followed:
                    topics.add(signals.changed(message.ref))
                answers.append(True)
            for name, (processed, failed) in counts.items():
                queues[name].count(day, processed, failed)
        self._store.signals.publish(topics)
        return answers

    def _settle(self, queue: Queue, record: Record, settlement: Settlement, now: float) -> None:
        message = settlement.message
        del queue.active[message.id]
        if settlement.to is None:
            del queue.records[message.id]
            if message.unique_key:
                queue.unlock(message)
            return
        record.message = message
        record.token, record.owner, record.live = 0, "", None
        if settlement.record is not None:
            record.keep(settlement.record)
        if settlement.result is not None:
            record.result = settlement.result
        at = now if settlement.to is TaskState.PENDING else settlement.at
        queue.place(record, settlement.to, at, front=True)
        if message.unique_key and locks.freed_by(message, settlement.to):
            queue.unlock(message)

    async def write_output(self, notes: Sequence[Output]) -> list[bool]:
        answers = []
        with self._store.lock:
            for note in notes:
                record = self._held(note.lease)
                if record is not None:
                    if note.result is not None:
                        record.result = note.result
                    if note.progress is not None:
                        record.progress = note.progress
                    if note.live is not None:
                        record.live = note.live
                answers.append(record is not None)
        self._store.signals.publish(self._store.changed(note.lease.message.ref for note in notes))
        return answers

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        with self._store.lock:
            return [self._attempts(ref) for ref in refs]

    def _attempts(self, ref: TaskRef) -> list[AttemptRecord]:
        queue = self._store.queues.get(ref.queue)
        record = queue.records.get(ref.id) if queue is not None else None
        if record is None:
            return []
        if record.state is not TaskState.ACTIVE:
            return [*record.runs]
        return [*record.runs, under_way(record.live, record.owner, record.next_number)]

    def _held(self, lease: Lease) -> Record | None:
        queue = self._store.queues.get(lease.message.queue)
        record = queue.active.get(lease.message.id) if queue is not None else None
        return record if record is not None and record.token == lease.token else None

    # --- what time does to tasks ------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        now = self.clock.now()
        moved = 0
        topics: set[Topic] = set()
        with self._store.lock:
            known = [self._store.queues[name] for name in queues if name in self._store.queues]
            for queue in known:
                while moved < limit and (state := _next_due(queue, now)):
                    record = queue.records[queue.timelines[state].pop()]
                    target = TaskState.AGGREGATING if record.message.group else TaskState.PENDING
                    queue.place(record, target, now)
                    topics.add(_TOPICS[target](queue.name))
                    topics.update(self._store.changed([record.message.ref]))
                    moved += 1
            next_at = min(
                (
                    queue.timelines[state].next_at()
                    for queue in known
                    for state in _DUE
                    if queue.timelines[state]
                ),
                default=None,
            )
        self._store.signals.publish(topics)
        return Forwarded(moved, next_at)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        now = self.clock.now()
        with self._store.lock:
            active = [
                record
                for name in queues
                if name in self._store.queues
                for record in self._store.queues[name].active.values()
            ]
            active.sort(key=lambda record: record.at)
            leases = [Lease(record.message, record.at, record.token) for record in active if record.at <= now]
            next_at = next((record.at for record in active if record.at > now), None)
        return Expired(leases[:limit], next_at)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        now = self.clock.now()
        deleted = 0
        next_at: list[float] = []
        topics: set[Topic] = set()
        with self._store.lock:
            for queue in [self._store.queues[name] for name in queues if name in self._store.queues]:
                completed = queue.timelines[TaskState.COMPLETED]
                while deleted < limit and completed and completed.next_at() <= now:
                    record = queue.records[completed.pop()]
                    queue.forget(record)
                    topics.add(signals.ended(record.message.ref))
                    topics.update(self._store.changed([record.message.ref]))
                    deleted += 1
                if completed:
                    next_at.append(completed.next_at())
                queue.trim(now)
                for batch in [batch for batch in queue.batches.values() if batch.expires_at <= now]:
                    queue.release(batch)
                    topics.add(signals.grouped(queue.name))
                next_at.extend(batch.expires_at for batch in queue.batches.values())
                for key in [key for key, (_, until) in queue.locks.items() if until <= now]:
                    del queue.locks[key]
        self._store.signals.publish(topics)
        return Swept(deleted, min(next_at, default=None))

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        now = self.clock.now()
        batches: list[GroupBatch] = []
        next_at: list[float] = []
        with self._store.lock:
            for queue in [self._store.queues[name] for name in queues if name in self._store.queues]:
                for group in list(queue.groups):
                    rule = policy.of(group)
                    while rule and len(batches) < limit and (members := queue.groups.get(group)):
                        oldest, newest = members.next_at(), members.last_at()
                        flushed = queue.flushed_until(group)
                        count = rule.ripe(len(members), oldest, newest, now, flushed)
                        if not count:
                            next_at.append(rule.ripe_at(oldest, newest))
                            break
                        batches.append(queue.claim(group, count, uuid.uuid4().hex, now + BATCH_LEASE))
        return Claimed(batches, min(next_at, default=None))

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        now = self.clock.now()
        topics: set[Topic] = set()
        with self._store.lock:
            queue = self._store.queues.get(batch.queue)
            if queue is None or batch.id not in queue.batches:
                return None
            answer = self._admit(merged, now, topics)
            if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
                queue.dissolve(batch)
        topics.update(signals.ended(message.ref) for message in batch.messages)
        topics.update(self._store.changed(message.ref for message in batch.messages))
        self._store.signals.publish(topics)
        return answer

    # --- who is there -----------------------------------------------------------------------------

    async def beat(self, card: ServerInfo | SchedulerInfo, ttl: float) -> None:
        until = self.clock.now() + ttl
        with self._store.lock:
            if isinstance(card, SchedulerInfo):
                self._store.schedulers[card.id] = (card, until)
            else:
                self._store.servers[card.id] = (card, until)

    async def leave(self, card: ServerInfo | SchedulerInfo) -> None:
        with self._store.lock:
            if isinstance(card, SchedulerInfo):
                self._store.schedulers.pop(card.id, None)
            else:
                self._store.servers.pop(card.id, None)

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        with self._store.lock:
            for ref in refs:
                self._store.tokens += 1
                self._store.cancellations.append((self._store.tokens, Cancellation(ref, archive)))
        self._store.signals.publish([("cancel",)])

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        with self.watch([("cancel",)]) as watch:
            last = self._store.tokens
            while True:
                with self._store.lock:
                    news = [(number, call) for number, call in self._store.cancellations if number > last]
                for last, call in news:  # noqa: B007
                    yield call
                await watch.wait()


def _next_due(queue: Queue, now: float) -> TaskState | None:
    """The state whose earliest task is due first."""
    due = [
        (timeline.next_at(), state)
        for state in _DUE
        if (timeline := queue.timelines[state]) and timeline.next_at() <= now
    ]
    return min(due)[1] if due else None


_TOPICS = {
    TaskState.PENDING: signals.pending,
    TaskState.SCHEDULED: signals.due,
    TaskState.AGGREGATING: signals.grouped,
    TaskState.RETRY: signals.due,
}
