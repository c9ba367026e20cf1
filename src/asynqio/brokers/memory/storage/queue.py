"""One queue in memory: its tasks by state, and every step a task can take in it.

Plain synchronous code without locks or clocks; `broker.py` adds both. Each method leaves the queue
consistent, so nothing can be half done.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT, STATS_AGE
from asynqio.brokers.memory.storage.timeline import Timeline
from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease
from asynqio.core.schedules.records import ScheduleState
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate
from asynqio.core.task.unique_locks import changed, freed_by, keeps_place


class Record:
    """One stored task."""

    __slots__ = (
        "at",
        "batch",
        "live",
        "message",
        "number",
        "owner",
        "pending_since",
        "progress",
        "result",
        "runs",
        "state",
        "token",
    )

    def __init__(self, message: TaskMessage) -> None:
        self.message = message
        self.state = TaskState.PENDING
        #: ACTIVE: lease expiry. SCHEDULED, RETRY: due. COMPLETED: expiry. ARCHIVED, AGGREGATING: since.
        self.at = 0.0
        #: Its place among those of equal times, by arrival in the state; below 0: put at the front. An active task
        #: keeps the one it had while it was pending.
        self.number = 0
        self.token = 0
        self.owner = ""
        self.pending_since = 0.0
        #: The id of the claimed batch that an AGGREGATING task is part of.
        self.batch = ""
        self.result: bytes | None = None
        self.progress: bytes | None = None
        #: The attempts that ended, oldest first, and what the one that goes on has left of itself.
        self.runs: tuple[AttemptRecord, ...] = ()
        self.live: AttemptRecord | None = None

    @property
    def next_number(self) -> int:
        """The number of the next attempt."""
        return self.runs[-1].number + 1 if self.runs else 1

    def keep(self, run: AttemptRecord) -> None:
        """Put down an attempt that ended."""
        numbered = msgspec.structs.replace(run, number=self.next_number)
        self.runs = (*self.runs[1 - RUNS_KEPT :], numbered)


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
        #: Task types that nobody is to work on, and since when.
        self.paused_types: dict[str, float] = {}
        self.records: dict[str, Record] = {}
        self.pending: OrderedDict[str, Record] = OrderedDict()
        self.active: dict[str, Record] = {}
        self.timelines = {
            state: Timeline()
            for state in (TaskState.SCHEDULED, TaskState.RETRY, TaskState.COMPLETED, TaskState.ARCHIVED)
        }
        self.groups: dict[str, Timeline] = {}
        self.batches: dict[str, GroupBatch] = {}
        #: Flushed groups: as long as a member is as old as this, the group is ripe.
        self.flushed: dict[str, float] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.days: defaultdict[int, Day] = defaultdict(Day)
        self.total = Day()
        #: Archived tasks that were dropped because the archive is full or they were too old.
        self.evicted = 0
        self._first = self._last = 0

    # --- in ---------------------------------------------------------------------------------------

    def locked(self, key: str, now: float) -> str | None:
        """The id of the task for which a lock is held."""
        held = self.locks.get(key)
        return held[0] if held is not None and held[1] > now else None

    def admit(self, entry: Entry, now: float) -> None:
        """Take in an entry that was checked for conflicts."""
        message = entry.message
        if entry.unique_ttl > 0:
            self.locks[entry.lock] = (message.id, now + entry.unique_ttl)
        record = self.records[message.id] = Record(message)
        at = entry.process_at if entry.state is TaskState.SCHEDULED else now
        self.place(record, entry.state, at)

    def change(self, record: Record, entry: Entry, now: float) -> None:
        """The holder of an entry's lock, which waits, becomes what the entry says."""
        message, state = changed(entry, record.message, record.state)
        self.locks[entry.lock] = (message.id, now + entry.unique_ttl)
        if entry.on_duplicate is OnDuplicate.REPLACE:
            record.result = record.progress = None
        stays = keeps_place(record.message, record.state, message, state)
        if not stays:
            self.lift(record)
        record.message = message
        if not stays:
            self.place(record, state, entry.process_at if entry.state is TaskState.SCHEDULED else now)

    # --- moves ------------------------------------------------------------------------------------

    def place(self, record: Record, state: TaskState, at: float, *, front: bool = False) -> None:
        """Put a record, which is in no container, into the one for `state`."""
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
        elif state is TaskState.ACTIVE:
            self.active[id] = record
        else:
            self.timelines[state].add(id, at)
            if state is TaskState.ARCHIVED:
                self.trim(at)

    def lift(self, record: Record) -> None:
        """Take a record out of its container; it stays in `records`."""
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
            if not timeline:
                del self.groups[record.message.group]
        else:
            self.timelines[state].discard(id)

    def forget(self, record: Record) -> None:
        """Remove a record, which is in no container, and free its lock."""
        del self.records[record.message.id]
        self.unlock(record.message)

    def unlock(self, message: TaskMessage) -> None:
        key = message.unique_key
        if key and (held := self.locks.get(key)) is not None and held[0] == message.id:
            del self.locks[key]

    def lease_next(self, token: int, owner: str, expires_at: float) -> Lease:
        """The oldest pending task becomes active."""
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
        """Keep the archive within its bounds."""
        archived = self.timelines[TaskState.ARCHIVED]
        while len(archived) > self.archive_limit or (
            archived and archived.next_at() <= now - self.archive_age
        ):
            self.forget(self.records[archived.pop()])
            self.evicted += 1

    # --- groups -----------------------------------------------------------------------------------

    def claim(self, group: str, count: int, batch_id: str, expires_at: float) -> GroupBatch:
        """The `count` oldest members of a group become a batch."""
        timeline = self.groups[group]
        ids = [timeline.pop() for _ in range(count)]
        if not timeline:
            del self.groups[group]
            self.flushed.pop(group, None)
        messages = []
        for id in ids:
            self.records[id].batch = batch_id
            messages.append(self.records[id].message)
        batch = self.batches[batch_id] = GroupBatch(self.name, group, batch_id, messages, expires_at)
        return batch

    def flush(self, group: str) -> int:
        """The members that are there now are ripe; how many these are."""
        timeline = self.groups.get(group)
        if timeline:
            self.flushed[group] = timeline.last_at()
        return len(timeline) if timeline else 0

    def flushed_until(self, group: str) -> float:
        """The age that makes a member of this group ripe; 0: none does."""
        flushed = self.flushed.get(group, 0.0)
        if flushed and flushed < self.groups[group].next_at():
            del self.flushed[group]
            return 0.0
        return flushed

    def release(self, batch: GroupBatch) -> None:
        """The members of a batch go back to their group, as old as they were."""
        del self.batches[batch.id]
        for message in batch.messages:
            record = self.records[message.id]
            record.batch = ""
            self.place(record, TaskState.AGGREGATING, record.at)

    def dissolve(self, batch: GroupBatch) -> None:
        """The members of a batch are gone."""
        del self.batches[batch.id]
        for message in batch.messages:
            self.forget(self.records[message.id])

    # --- figures ----------------------------------------------------------------------------------

    def count(self, day: int, processed: int, failed: int) -> None:
        for counter in (self.days[day], self.total):
            counter.processed += processed
            counter.failed += failed
        if len(self.days) > STATS_AGE // 86_400:
            for old in [known for known in self.days if known <= day - STATS_AGE // 86_400]:
                del self.days[old]

    def in_order(self, state: TaskState, group: str) -> Iterator[Record]:
        """The records of a state in the order in which they are shown."""
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
        return (self.records[id] for id in ids)

    def info(self, record: Record, now: float) -> TaskInfo:
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
