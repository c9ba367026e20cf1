"""What a store holds, as simply as can be said: the yardstick of test_model.py.

Written from the contract's sentences, not from a broker. Where the contract leaves something open (the order
of tasks with equal times, which of many are taken when a limit cuts them off) the model checks that the
answer is a legal one and adopts it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from asynqio.brokers.base import Admission, Claimed, Moved, Note
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupRule
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task import Entry
from asynqio.core.unique import unique_key

S = TaskState
WAITING = {S.SCHEDULED, S.RETRY}
REWRITABLE = {S.SCHEDULED, S.RETRY, S.PENDING, S.ARCHIVED}
DAY = 86_400


@dataclass
class Stored:
    """One task."""

    message: TaskMessage
    state: TaskState
    #: Due, expiry of lease or retention, or since when, by state.
    at: float
    #: Which lease is the valid one; 0: none.
    lease: int = 0
    owner: str = ""
    pending_since: float = 0.0
    batch: str = ""
    result: bytes | None = None
    progress: bytes | None = None


@dataclass
class Held:
    """A lease that was given out, and which one it is to the model. It may be stale."""

    lease: Lease
    number: int


@dataclass
class Batch:
    """A claimed batch, as long as it is somebody's."""

    batch: GroupBatch
    ids: list[str]


@dataclass
class Queue:
    """One queue. PENDING and ACTIVE have an order of their own, the rest is ordered by `at`."""

    paused: bool = False
    paused_types: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, Stored] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    locks: dict[str, tuple[str, float]] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    days: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))


class Model:
    """All queues, and the time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.queues: dict[str, Queue] = {}
        self.leases_given = 0

    # --- helpers ----------------------------------------------------------------------------------

    def queue(self, name: str) -> Queue:
        return self.queues.setdefault(name, Queue())

    def task(self, ref: TaskRef) -> Stored | None:
        queue = self.queues.get(ref.queue)
        return queue.tasks.get(ref.id) if queue else None

    def in_state(self, name: str, *states: TaskState) -> list[Stored]:
        queue = self.queues.get(name)
        return [task for task in queue.tasks.values() if task.state in states] if queue else []

    def locked(self, queue: Queue, key: str) -> bool:
        return key in queue.locks and queue.locks[key][1] > self.now

    def unlock(self, queue: Queue, task: TaskMessage) -> None:
        if task.unique_key and queue.locks.get(task.unique_key, ("", 0.0))[0] == task.id:
            del queue.locks[task.unique_key]

    def leave(self, queue: Queue, task: Stored) -> None:
        """Out of the state it is in."""
        id = task.message.id
        if task.state is S.PENDING:
            queue.pending.remove(id)
        if task.state is S.ACTIVE:
            queue.active.remove(id)
        task.lease, task.owner, task.pending_since = 0, "", 0.0

    def join(self, queue: Queue, task: Stored, state: TaskState, at: float, *, front: bool = False) -> None:
        task.state, task.at = state, at
        if state is S.PENDING:
            task.pending_since = at
            queue.pending.insert(0 if front else len(queue.pending), task.message.id)

    def remove(self, queue: Queue, task: Stored) -> None:
        self.leave(queue, task)
        del queue.tasks[task.message.id]
        self.unlock(queue, task.message)

    # --- in and out -------------------------------------------------------------------------------

    def admit(self, entry: Entry) -> Admission:
        queue = self.queues.get(entry.message.queue, Queue())
        key, id = entry.message.unique_key, entry.message.id
        if entry.unique_ttl and self.locked(queue, key):
            return Admission.DUPLICATE
        if id in queue.tasks:
            return Admission.ID_CONFLICT
        queue = self.queue(entry.message.queue)
        if entry.unique_ttl:
            queue.locks[key] = (id, self.now + entry.unique_ttl)
        task = queue.tasks[id] = Stored(entry.message, entry.state, 0.0)
        self.join(queue, task, entry.state, entry.process_at if entry.state is S.SCHEDULED else self.now)
        return Admission.ACCEPTED

    def dequeue(self, names: Sequence[str], limit: int, lease: float, owner: str) -> list[Stored]:
        taken: list[Stored] = []
        for name in names:
            queue = self.queues.get(name, Queue())
            while queue.pending and not queue.paused and len(taken) < limit:
                task = queue.tasks[queue.pending[0]]
                self.leave(queue, task)
                self.leases_given += 1
                task.state, task.at = S.ACTIVE, self.now + lease
                task.lease, task.owner = self.leases_given, owner
                queue.active.append(task.message.id)
                taken.append(task)
        return taken

    def holds(self, held: Held) -> Stored | None:
        task = self.task(held.lease.message.ref)
        return task if task and task.lease == held.number else None

    def renew(self, held: Held, lease: float) -> bool:
        task = self.holds(held)
        if task:
            task.at = self.now + lease
        return task is not None

    def renew_owner(self, owner: str, lease: float) -> int:
        mine = [task for name in self.queues for task in self.in_state(name, S.ACTIVE) if task.owner == owner]
        for task in mine:
            task.at = self.now + lease
        return len(mine)

    def note(self, held: Held, note: Note) -> bool:
        task = self.holds(held)
        if task:
            task.result = task.result if note.result is None else note.result
            task.progress = task.progress if note.progress is None else note.progress
        return task is not None

    def settle(self, held: Held, end: Settlement) -> bool:
        task = self.holds(held)
        if not task:
            return False
        queue = self.queues[task.message.queue]
        if end.processed:
            queue.days[int(self.now // DAY)][0] += 1
            queue.days[int(self.now // DAY)][1] += end.failed
        if end.to is None:
            self.remove(queue, task)
            return True
        self.leave(queue, task)
        task.message = end.message
        task.result = task.result if end.result is None else end.result
        self.join(queue, task, end.to, self.now if end.to is S.PENDING else end.at, front=True)
        if end.to is S.COMPLETED:
            self.unlock(queue, task.message)
        return True

    # --- time -------------------------------------------------------------------------------------

    def forwarded(self, moved: list[Stored]) -> None:
        """`moved` are the tasks that a forward moved, in the order in which they are pending now."""
        for task in moved:
            queue = self.queues[task.message.queue]
            self.leave(queue, task)
            self.join(queue, task, S.AGGREGATING if task.message.group else S.PENDING, self.now)

    def release(self, names: Sequence[str]) -> None:
        """Batches whose time ran out go back to their group."""
        for name in names:
            queue = self.queues.get(name, Queue())
            for id, batch in list(queue.batches.items()):
                if batch.batch.expires_at <= self.now:
                    del queue.batches[id]
                    for member in batch.ids:
                        queue.tasks[member].batch = ""

    # --- groups -----------------------------------------------------------------------------------

    def groups(self, name: str) -> dict[str, list[Stored]]:
        """The members that nobody has claimed, oldest first."""
        found: dict[str, list[Stored]] = {}
        for task in sorted(self.in_state(name, S.AGGREGATING), key=lambda task: task.at):
            if not task.batch:
                found.setdefault(task.message.group, []).append(task)
        return found

    def claimed(self, names: Sequence[str], rule: GroupRule, limit: int, answer: Claimed) -> None:
        """Check what was claimed, and take note of it."""
        for batch in answer.batches:
            assert batch.queue in names
            members = self.groups(batch.queue)[batch.group]
            ids = [message.id for message in batch.messages]
            count = rule.ripe(len(members), members[0].at, members[-1].at, self.now)
            assert len(ids) == len(set(ids)) == count > 0, "not ripe, or not the right number"
            queue = self.queues[batch.queue]
            times = [queue.tasks[id].at for id in ids]
            assert times == sorted(times) == [task.at for task in members[:count]], "not the oldest first"
            assert list(batch.messages) == [queue.tasks[id].message for id in ids]
            assert batch.expires_at == self.now + BATCH_LEASE
            assert batch.id not in queue.batches
            for id in ids:
                assert not queue.tasks[id].batch, "claimed twice"
                queue.tasks[id].batch = batch.id
            queue.batches[batch.id] = Batch(batch, ids)
        assert len(answer.batches) <= limit
        if len(answer.batches) < limit:
            left = [members for name in dict.fromkeys(names) for members in self.groups(name).values()]
            assert not any(rule.ripe(len(m), m[0].at, m[-1].at, self.now) for m in left), "ripe, not claimed"
            next_at = min((rule.ripe_at(m[0].at, m[-1].at) for m in left), default=None)
            assert answer.next_at == next_at

    def merge(self, batch: GroupBatch, merged: Entry) -> Admission | None:
        queue = self.queues.get(batch.queue, Queue())
        if batch.id not in queue.batches:
            return None
        answer = self.admit(merged)
        if answer is Admission.ACCEPTED:
            for id in queue.batches.pop(batch.id).ids:
                self.remove(queue, queue.tasks[id])
        return answer

    # --- operators --------------------------------------------------------------------------------

    def move(self, action: Action, ref: TaskRef) -> Moved:
        task = self.task(ref)
        if task is None:
            return Moved.NOT_FOUND
        if task.state not in action.origins or task.batch:
            return Moved.WRONG_STATE
        queue = self.queues[ref.queue]
        if action.target is None:
            self.remove(queue, task)
        else:
            self.leave(queue, task)
            self.join(queue, task, action.target, self.now)
        return Moved.DONE

    def transfer(self, ref: TaskRef, target: str) -> Moved:
        task = self.task(ref)
        if task is None:
            return Moved.NOT_FOUND
        if task.state not in REWRITABLE or ref.queue == target:
            return Moved.WRONG_STATE
        home, there, old = self.queues[ref.queue], self.queues.get(target, Queue()), task.message
        key = unique_key(target, old.type, old.payload) if old.unique_key else ""
        held = home.locks.get(old.unique_key, ("", 0.0))
        holds = held[0] == old.id and held[1] > self.now
        if holds and self.locked(there, key):
            return Moved.DUPLICATE
        if old.id in there.tasks:
            return Moved.ID_CONFLICT
        there = self.queue(target)
        self.remove(home, task)
        if holds:
            there.locks[key] = held
        task.message = msgspec.structs.replace(old, queue=target, unique_key=key)
        there.tasks[old.id] = task
        self.join(there, task, task.state, self.now if task.state is S.PENDING else task.at)
        return Moved.DONE

    def rewrite(self, ref: TaskRef, payload: bytes) -> Moved:
        task = self.task(ref)
        if task is None:
            return Moved.NOT_FOUND
        if task.state not in REWRITABLE:
            return Moved.WRONG_STATE
        queue, old = self.queues[ref.queue], task.message
        key = unique_key(old.queue, old.type, payload) if old.unique_key else ""
        task.message = msgspec.structs.replace(old, payload=payload, unique_key=key)
        held = queue.locks.get(old.unique_key)
        if key and held and held[0] == old.id:
            del queue.locks[old.unique_key]
            if not self.locked(queue, key):
                queue.locks[key] = held
        return Moved.DONE

    # --- what is there to see ---------------------------------------------------------------------

    def info(self, task: Stored) -> TaskInfo:
        state = task.state
        due = task.at if state in WAITING else self.now if state is S.PENDING else 0.0
        return TaskInfo.of(
            task.message,
            state,
            next_process_at=due,
            pending_since=task.pending_since,
            is_orphaned=state is S.ACTIVE and task.at <= self.now,
            result=task.result,
            progress=task.progress,
        )
