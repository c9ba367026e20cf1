"""One queue in memory: its tasks by state, and their transitions.

Synchronous code without locks or clocks: callers hold the lock of the store and pass the time. Each method leaves the
queue consistent.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT, DAY, STATS_AGE
from asynqio.brokers.memory.storage.group_index import GroupIndex
from asynqio.brokers.memory.storage.record import Record
from asynqio.brokers.memory.storage.timeline import Timeline
from asynqio.core.groups import GroupBatch, GroupFailure, claim_expired
from asynqio.core.lifecycle import Lease
from asynqio.core.schedules.firing import ScheduleState
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate
from asynqio.core.task.unique_locks import FINISHED, changed, freed_by, keeps_place


class Day:
    """Attempts of one day."""

    __slots__ = ("failed", "processed")

    def __init__(self) -> None:
        self.processed = 0
        self.failed = 0


class Queue:
    """The tasks of one queue. A task is in `records` and in exactly one of the containers by state."""

    def __init__(
        self, name: str, archive_limit: int = ARCHIVE_LIMIT, archive_age: float = ARCHIVE_AGE
    ) -> None:
        self.name = name
        self.archive_limit, self.archive_age = archive_limit, archive_age
        self.paused = False
        #: Paused task types, and when they were paused.
        self.paused_types: dict[str, float] = {}
        self.records: dict[str, Record] = {}
        self.pending: OrderedDict[str, Record] = OrderedDict()
        self.active: dict[str, Record] = {}
        self.timelines = {
            state: Timeline()
            for state in (TaskState.SCHEDULED, TaskState.RETRY, TaskState.COMPLETED, TaskState.ARCHIVED)
        }
        self.groups: dict[str, Timeline] = {}
        #: When to check which group, by the rules of servers.
        self.index = GroupIndex()
        self.batches: dict[str, GroupBatch] = {}
        #: Flushed groups: a group is ripe while it has a member of this age or older.
        self.flushed: dict[str, float] = {}
        #: Groups whose last aggregation failed.
        self.failures: dict[str, GroupFailure] = {}
        #: Uniqueness locks: key to holder and expiry.
        self.locks: dict[str, tuple[str, float]] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.days: defaultdict[int, Day] = defaultdict(Day)
        self.total = Day()
        #: Archived tasks evicted because the archive was full or they were too old.
        self.evicted = 0
        self._first = self._last = 0

    # --- enqueue ----------------------------------------------------------------------------------

    def lock_holder(self, key: str, now: float) -> str | None:
        """The id of the task that holds a lock; None: it is free."""
        held = self.locks.get(key)
        if held is None or held[1] <= now:
            return None
        record = self.records.get(held[0])
        if record is not None and record.message.unique_key == key and self.outlived(record, now):
            return None
        return held[0]

    def outlived(self, record: Record, now: float) -> bool:
        """Whether a task has outlived its retention or the age of the archive: it counts as deleted."""
        if record.state is TaskState.COMPLETED:
            return record.at <= now
        return record.state is TaskState.ARCHIVED and record.at <= now - self.archive_age

    def find(self, id: str, now: float) -> Record | None:
        """The record of a task, unless it counts as deleted."""
        record = self.records.get(id)
        return None if record is None or self.outlived(record, now) else record

    def make_room(self, id: str, now: float, *, finished: bool = False) -> bool:
        """Whether an id is free. Deletes its task if that counts as deleted or, with `finished`, has finished."""
        record = self.records.get(id)
        if record is None:
            return True
        if not self.outlived(record, now) and not (finished and record.state in FINISHED):
            return False
        self.leave(record)
        self.delete(record)
        return True

    def admit(self, entry: Entry, now: float) -> None:
        """Store the task of an entry that was checked for conflicts."""
        message = entry.message
        if entry.unique_ttl > 0:
            self.locks[entry.lock] = (message.id, now + entry.unique_ttl)
        record = self.records[message.id] = Record(message)
        at = entry.process_at if entry.state is TaskState.SCHEDULED else now
        self.enter(record, entry.state, at)

    def change_holder(self, record: Record, entry: Entry, now: float) -> None:
        """Replace or reschedule the waiting holder of an entry's lock, as the entry says."""
        message, state = changed(entry, record.message, record.state)
        self.locks[entry.lock] = (message.id, now + entry.unique_ttl)
        if entry.on_duplicate is OnDuplicate.REPLACE:
            record.result = record.progress = None
        stays = keeps_place(record.message, record.state, message, state)
        if not stays:
            self.leave(record)
        record.message = message
        if not stays:
            self.enter(record, state, entry.process_at if entry.state is TaskState.SCHEDULED else now)

    # --- transitions ------------------------------------------------------------------------------

    def enter(self, record: Record, state: TaskState, at: float, *, front: bool = False) -> None:
        """Add a record that is in no container to the one of `state`."""
        record.state = state
        record.at = at
        self._last += 1
        record.number = self._last
        id = record.message.id
        if state is TaskState.PENDING:
            record.pending_since = at
            self.pending[id] = record
            if front:
                self.pending.move_to_end(id, last=False)
                self._first -= 1
                record.number = self._first
                return
        elif state is TaskState.AGGREGATING:
            self.groups.setdefault(record.message.group, Timeline()).add(id, at)
            self.index.changed(record.message.group)
        elif state is TaskState.ACTIVE:
            self.active[id] = record
        else:
            self.timelines[state].add(id, at)
            if state is TaskState.ARCHIVED:
                self.trim(at)

    def leave(self, record: Record) -> None:
        """Remove a record from the container of its state; it stays in `records`."""
        id = record.message.id
        state = record.state
        if state is TaskState.PENDING:
            del self.pending[id]
            record.pending_since = 0.0
        elif state is TaskState.ACTIVE:
            del self.active[id]
            record.token, record.owner = 0, ""
        elif state is TaskState.AGGREGATING:
            timeline = self.groups[record.message.group]
            timeline.discard(id)
            self.index.changed(record.message.group)
            if not timeline:
                self._empty(record.message.group)
                self.failures.pop(record.message.group, None)
        else:
            self.timelines[state].discard(id)

    def delete(self, record: Record) -> None:
        """Remove a record, which is in no container, and free its lock."""
        del self.records[record.message.id]
        self.unlock(record.message)

    def unlock(self, message: TaskMessage) -> None:
        """Free the lock of a task, if the task still holds it."""
        key = message.unique_key
        if key and (held := self.locks.get(key)) is not None and held[0] == message.id:
            del self.locks[key]

    def lease_next(self, token: int, owner: str, expires_at: float) -> Lease:
        """Lease the oldest pending task."""
        id, record = self.pending.popitem(last=False)
        since = record.pending_since
        record.state = TaskState.ACTIVE
        record.pending_since = 0.0
        record.at = expires_at
        record.token = token
        record.owner = owner
        self.active[id] = record
        if record.message.unique_key and freed_by(record.message, TaskState.ACTIVE):
            self.unlock(record.message)
        return Lease(record.message, expires_at, token, since)

    def trim(self, now: float) -> None:
        """Evict archived tasks that exceed the limits."""
        archived = self.timelines[TaskState.ARCHIVED]
        while len(archived) > self.archive_limit or (
            archived and archived.next_at() <= now - self.archive_age
        ):
            self.delete(self.records[archived.pop()])
            self.evicted += 1

    # --- groups -----------------------------------------------------------------------------------

    def claim(self, group: str, count: int, batch_id: str, expires_at: float) -> GroupBatch:
        """Claim the `count` oldest members of a group as a batch."""
        timeline = self.groups[group]
        oldest_at = timeline.next_at()
        ids = [timeline.pop() for _ in range(count)]
        self.index.changed(group)
        if not timeline:
            self._empty(group)
            self.flushed.pop(group, None)
        messages = []
        for id in ids:
            self.records[id].batch = batch_id
            messages.append(self.records[id].message)
        batch = self.batches[batch_id] = GroupBatch(
            self.name, group, batch_id, messages, expires_at, self.failures.get(group), oldest_at
        )
        return batch

    def _empty(self, group: str) -> None:
        del self.groups[group]
        self.index.removed(group)

    def renew(self, batch: GroupBatch, expires_at: float) -> bool:
        """Extend the claim of a batch. False: it was lost."""
        held = self.batches.get(batch.id)
        if held is not None:
            self.batches[batch.id] = msgspec.structs.replace(held, expires_at=expires_at)
        return held is not None

    def flush(self, group: str) -> int:
        """Make the current members ripe; returns their number."""
        timeline = self.groups.get(group)
        if timeline:
            self.flushed[group] = timeline.last_at()
            self.index.changed(group)
        return len(timeline) if timeline else 0

    def flushed_until(self, group: str) -> float:
        """Members of this age or older are ripe because of a flush; 0: the group is not flushed."""
        flushed = self.flushed.get(group, 0.0)
        if flushed and flushed < self.groups[group].next_at():
            del self.flushed[group]
            return 0.0
        return flushed

    def release(self, batch: GroupBatch, failure: GroupFailure | None = None) -> None:
        """Return the members of a batch to their group, with their age unchanged."""
        if failure is not None:
            self.failures[batch.group] = failure
            self.flushed.pop(batch.group, None)
        for record in self._dissolve(batch):
            self.enter(record, TaskState.AGGREGATING, record.at)

    def expire(self, batch: GroupBatch, now: float) -> None:
        """Release a batch whose claim has expired, which counts as a failure."""
        before = self.failures.get(batch.group)
        self.release(batch, claim_expired(before, now, batch.oldest_at))

    def archive_batch(self, batch: GroupBatch, failure: GroupFailure, now: float) -> None:
        """Archive the members of a batch with the error of their group."""
        self.failures.pop(batch.group, None)
        for record in self._dissolve(batch):
            record.message = msgspec.structs.replace(
                record.message, last_error=failure.error, last_failed_at=now
            )
            if freed_by(record.message, TaskState.ARCHIVED):
                self.unlock(record.message)
            self.enter(record, TaskState.ARCHIVED, now)

    def delete_batch(self, batch: GroupBatch) -> None:
        """Delete a batch and its members."""
        failure, waiting = self.failures.get(batch.group), self.groups.get(batch.group)
        if failure is not None and not (waiting and waiting.next_at() <= failure.oldest_at):
            del self.failures[batch.group]
        for record in self._dissolve(batch):
            self.delete(record)

    def _dissolve(self, batch: GroupBatch) -> Iterator[Record]:
        """Remove a batch; its members are in no container then."""
        del self.batches[batch.id]
        for message in batch.messages:
            record = self.records[message.id]
            record.batch = ""
            yield record

    # --- stats ------------------------------------------------------------------------------------

    def count(self, day: int, processed: int, failed: int) -> None:
        """Count attempts of a day (days since the epoch) and in the totals."""
        for counter in (self.days[day], self.total):
            counter.processed += processed
            counter.failed += failed
        if len(self.days) > STATS_AGE // DAY:
            for old in [known for known in self.days if known <= day - STATS_AGE // DAY]:
                del self.days[old]

    def in_order(self, state: TaskState, group: str, now: float) -> Iterator[Record]:
        """The records of a state, in the order of `Inspection.tasks`."""
        if state is TaskState.PENDING:
            return iter(self.pending.values())
        if state is TaskState.ACTIVE:
            return iter(self.active.values())
        if state is TaskState.AGGREGATING:
            members = [
                record
                for record in self.records.values()
                if record.state is state and (not group or record.message.group == group)
            ]
            return iter(sorted(members, key=lambda record: (record.at, record.message.id)))
        ids = self.timelines[state].in_order(newest_first=state in (TaskState.ARCHIVED, TaskState.COMPLETED))
        return (record for id in ids if (record := self.find(id, now)) is not None)

    def info(self, record: Record, now: float) -> TaskInfo:
        """The snapshot of a record."""
        state = record.state
        facts: dict[str, Any] = {"result": record.result, "progress": record.progress}
        if state in (TaskState.SCHEDULED, TaskState.RETRY):
            facts["next_process_at"] = record.at
        elif state is TaskState.PENDING:
            facts["next_process_at"] = now
            facts["pending_since"] = record.pending_since
        elif state is TaskState.ACTIVE:
            facts["is_orphaned"] = record.at <= now
            facts["lease_expires_at"] = record.at
        return TaskInfo.of(record.message, state, **facts)
