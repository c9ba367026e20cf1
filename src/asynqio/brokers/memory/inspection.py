"""Looking at a memory broker, and tidying it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.admin.scan import scan
from asynqio.brokers.memory.storage.queue import Day, Queue, Record
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.clock import Clock
from asynqio.core.findings import Finding
from asynqio.core.info import FRONT, DayStats, GroupStats, QueueStats, ServerInfo, StoreNode, longest_waiting
from asynqio.core.lifecycle import Action, MoveTo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder
from asynqio.core.task.unique_locks import freed_by, in_queue, moved_key
from asynqio.errors import QueueNotFound, WrongState

#: The states in which a payload may be replaced: nobody works with it.
REWRITABLE = frozenset({TaskState.SCHEDULED, TaskState.RETRY, TaskState.PENDING, TaskState.ARCHIVED})


#: Bytes that a stored task takes beside its payload and its result.
RECORD = 1_000


def _size(record: Record) -> int:
    kept = (record.message.payload, record.result, record.progress)
    return RECORD + sum(len(value) for value in kept if value is not None)


class MemoryInspection:
    """The `Inspection` half of `MemoryBroker`."""

    clock: Clock
    _store: MemoryStore

    async def queues(self) -> list[str]:
        return sorted(self._store.queues)

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        with self._store.lock:
            return [self._stats(self._existing(name)) for name in queues]

    async def memory_usage(self, queues: Sequence[str]) -> list[int]:
        with self._store.lock:
            return [self._memory_usage(self._existing(name)) for name in queues]

    async def history(self, queue: str, days: int) -> list[DayStats]:
        with self._store.lock:
            known = self._existing(queue).days
            today = int(self.clock.now() // 86_400)
            found = [(day, known.get(day) or Day()) for day in range(today, today - days, -1)]
        return [
            DayStats(
                queue,
                datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d"),
                figures.processed,
                figures.failed,
            )
            for day, figures in found
        ]

    async def groups(self, queue: str) -> list[GroupStats]:
        with self._store.lock:
            return [
                GroupStats(name, len(members), members.next_at(), members.last_at())
                for name, members in sorted(self._existing(queue).groups.items())
            ]

    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        now = self.clock.now()
        with self._store.lock:
            queue = self._existing(where.queue)
            chosen = islice(queue.in_order(where.state, where.group), page.offset, page.offset + page.size)
            return [queue.info(record, now) for record in chosen]

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        with self._store.lock:
            return scan(self._existing(where.queue), where, after, size, self.clock.now())

    async def group_names(self, queue: str) -> list[str]:
        with self._store.lock:
            known = self._existing(queue)
            return sorted({*known.groups, *(batch.group for batch in known.batches.values())})

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]:
        now = self.clock.now()
        with self._store.lock:
            found: list[TaskInfo | None] = []
            for ref in refs:
                queue, record = self._record(ref)
                found.append(queue.info(record, now) if queue and record else None)
            return found

    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        answers = []
        with self._store.lock:
            for ref in refs:
                queue, record = self._record(ref)
                if queue is None or record is None:
                    answers.append(Moved.NOT_FOUND)
                elif state is not None and record.state is not state:
                    answers.append(Moved.WRONG_STATE)
                else:
                    answers.append(self._move(queue, record, action))
        self._announce(action, refs)
        return answers

    async def move_all(self, action: Action, where: Where) -> int:
        with self._store.lock:
            queue = self._existing(where.queue)
            records = list(queue.in_order(where.state, where.group))
            moved = [record for record in records if self._move(queue, record, action) is Moved.DONE]
        self._announce(action, [record.message.ref for record in moved])
        return len(moved)

    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        topics: set[Topic] = set()
        with self._store.lock:
            answers = [self._transfer(ref, target, topics) for ref in refs]
        self._store.signals.publish(topics)
        return answers

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        answers = []
        with self._store.lock:
            for ref, payload in payloads.items():
                queue, record = self._record(ref)
                if queue is None or record is None:
                    answers.append(Moved.NOT_FOUND)
                elif record.state not in REWRITABLE:
                    answers.append(Moved.WRONG_STATE)
                else:
                    self._rewrite(queue, record, payload)
                    answers.append(Moved.DONE)
        return answers

    async def flush_group(self, queue: str, group: str) -> int:
        with self._store.lock:
            members = self._existing(queue).flush(group)
        self._store.signals.publish([signals.grouped(queue)])
        return members

    async def pause(self, queue: str, paused: bool) -> bool:
        with self._store.lock:
            state = self._store.queue(queue) if paused else self._store.queues.get(queue)
            changed = state is not None and state.paused is not paused
            if state is not None:
                state.paused = paused
        if not paused:
            self._store.signals.publish([signals.pending(queue)])
        return changed

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        with self._store.lock:
            state = self._store.queue(queue) if paused else self._store.queues.get(queue)
            changed = state is not None and (type in state.paused_types) is not paused
            if state is not None and changed:
                if paused:
                    state.paused_types[type] = self.clock.now()
                else:
                    del state.paused_types[type]
        self._store.signals.publish([signals.types(queue)])
        return changed

    async def remove_queue(
        self, queue: str, *, force: bool = False, progress: Progress | None = None
    ) -> None:
        with self._store.lock:
            state = self._existing(queue)
            if state.active:
                raise WrongState(
                    f"queue {queue!r} has {len(state.active)} active tasks: wait, or cancel them"
                )
            if state.records and not force:
                raise WrongState(f"queue {queue!r} holds {len(state.records)} tasks: drop it with force=True")
            del self._store.queues[queue]
        if progress is not None:
            progress(len(state.records))
        self._store.signals.publish_all("ended")
        self._store.signals.publish_all("changed")

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        with self._store.lock:
            known = self._store.queues.get(queue)
            if known is None or not known.locked(key, self.clock.now()):
                return None
            return LockHolder(*known.locks[key])

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return []  # what is in one process, in one step, cannot be half there

    async def nodes(self) -> list[StoreNode]:
        return []

    async def servers(self) -> list[ServerInfo]:
        now = self.clock.now()
        with self._store.lock:
            for id in [id for id, (_, until) in self._store.servers.items() if until <= now]:
                del self._store.servers[id]
            return [card for card, _ in self._store.servers.values()]

    # --- helpers, all under the lock --------------------------------------------------------------

    def _existing(self, name: str) -> Queue:
        queue = self._store.queues.get(name)
        if queue is None:
            raise QueueNotFound(name)
        return queue

    def _record(self, ref: TaskRef) -> tuple[Queue | None, Record | None]:
        queue = self._store.queues.get(ref.queue)
        return queue, queue.records.get(ref.id) if queue else None

    def _move(self, queue: Queue, record: Record, action: Action) -> Moved:
        if record.state not in action.origins or record.batch:
            return Moved.WRONG_STATE
        queue.lift(record)
        if action.target is None:
            queue.forget(record)
        else:
            queue.place(record, action.target, self.clock.now())
            if freed_by(record.message, action.target):
                queue.unlock(record.message)
        return Moved.DONE

    def _transfer(self, ref: TaskRef, target: str, topics: set[Topic]) -> Moved:
        queue, record = self._record(ref)
        if queue is None or record is None:
            return Moved.NOT_FOUND
        if record.state not in MoveTo.origins or ref.queue == target:
            return Moved.WRONG_STATE
        now, before = self.clock.now(), record.message
        after = in_queue(before, target)
        there = self._store.queues.get(target)
        holder, until = queue.locks.get(before.unique_key, ("", 0.0))
        holds = holder == ref.id and until > now
        if there is not None and holds and there.locked(after.unique_key, now):
            return Moved.DUPLICATE
        if there is not None and ref.id in there.records:
            return Moved.ID_CONFLICT
        there = self._store.queue(target)
        queue.lift(record)
        queue.forget(record)
        record.message = after
        there.records[ref.id] = record
        if holds:
            there.locks[after.unique_key] = (ref.id, until)
        there.place(record, record.state, now if record.state is TaskState.PENDING else record.at)
        topics |= {
            signals.ended(ref),
            *self._store.changed([ref]),
            signals.pending(target),
            signals.due(target),
        }
        return Moved.DONE

    def _rewrite(self, queue: Queue, record: Record, payload: bytes) -> None:
        old = record.message
        key = moved_key(old, payload)
        record.message = msgspec.structs.replace(old, payload=payload, unique_key=key)
        held = queue.locks.get(old.unique_key)
        if key and held is not None and held[0] == old.id:
            del queue.locks[old.unique_key]
            if queue.locked(key, self.clock.now()) is None:
                queue.locks[key] = held

    def _announce(self, action: Action, refs: Sequence[TaskRef]) -> None:
        if action.target is TaskState.PENDING:
            self._store.signals.publish({signals.pending(ref.queue) for ref in refs})
        else:
            self._store.signals.publish([signals.ended(ref) for ref in refs])
        self._store.signals.publish(self._store.changed(refs))

    def _memory_usage(self, queue: Queue) -> int:
        if not queue.records:
            return 0
        sample = list(islice(queue.records.values(), SAMPLE * len(TaskState)))
        return sum(map(_size, sample)) * len(queue.records) // len(sample)

    def _stats(self, queue: Queue) -> QueueStats:
        now = self.clock.now()
        day = queue.days.get(int(now // 86_400)) or Day()
        oldest = longest_waiting(record.pending_since for record in islice(queue.pending.values(), FRONT))
        waiting = {state: len(timeline) for state, timeline in queue.timelines.items()}
        return QueueStats(
            queue=queue.name,
            paused=queue.paused,
            pending=len(queue.pending),
            active=len(queue.active),
            scheduled=waiting[TaskState.SCHEDULED],
            retry=waiting[TaskState.RETRY],
            archived=waiting[TaskState.ARCHIVED],
            completed=waiting[TaskState.COMPLETED],
            aggregating=len(queue.records) - len(queue.pending) - len(queue.active) - sum(waiting.values()),
            groups=len(queue.groups),
            latency=max(0.0, now - oldest) if oldest else 0.0,
            oldest_pending_at=oldest,
            overdue_since=_overdue_since(queue, now),
            processed=day.processed,
            failed=day.failed,
            processed_total=queue.total.processed,
            failed_total=queue.total.failed,
            evicted_total=queue.evicted,
        )


def _overdue_since(queue: Queue, now: float) -> float:
    """When the delayed task that is overdue for longest was due; 0: none is."""
    waiting = (queue.timelines[state] for state in (TaskState.SCHEDULED, TaskState.RETRY))
    due = min((timeline.next_at() for timeline in waiting if timeline), default=now + 1)
    return due if due <= now else 0.0
