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

from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.contract.results import Admission, Claimed, Fired, Moved, Output, Replaced
from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord
from asynqio.core.groups import BATCH_LEASE, GroupBatch, GroupPolicy
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import unique_key

S = TaskState
WAITING = {S.SCHEDULED, S.RETRY}
UNBEGUN = {S.SCHEDULED, S.RETRY, S.PENDING, S.AGGREGATING}
OVER = {S.COMPLETED, S.ARCHIVED}
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
    #: What that was when the task was taken.
    waited_since: float = 0.0
    batch: str = ""
    result: bytes | None = None
    progress: bytes | None = None
    #: All attempts that were recorded, and what the one that goes on has left of itself.
    runs: list[AttemptRecord] = field(default_factory=list)
    live: AttemptRecord | None = None
    #: Grows with every state it comes into, and with every batch that is given back.
    visit: int = 0
    returned: int = 0


@dataclass
class Walk:
    """A walk through the tasks of a state: who was there when it began, who has been shown, each with its visit."""

    where: Where
    staying: dict[TaskRef, int]
    shown: list[tuple[TaskRef, int, int]] = field(default_factory=list)
    after: str = ""


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
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    days: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))


class Model:
    """All queues, and the time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.queues: dict[str, Queue] = {}
        self.leases_given = 0
        self.fires: defaultdict[str, list[FireEvent]] = defaultdict(list)

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
        task.lease, task.owner, task.pending_since, task.live = 0, "", 0.0, None

    def join(self, queue: Queue, task: Stored, state: TaskState, at: float, *, front: bool = False) -> None:
        task.state, task.at = state, at
        task.visit += 1
        if state is S.PENDING:
            task.pending_since = at
            queue.pending.insert(0 if front else len(queue.pending), task.message.id)

    def remove(self, queue: Queue, task: Stored) -> None:
        self.leave(queue, task)
        del queue.tasks[task.message.id]
        self.unlock(queue, task.message)

    # --- in and out -------------------------------------------------------------------------------

    def admit(self, entry: Entry) -> Admission | Replaced:
        queue = self.queues.get(entry.message.queue, Queue())
        key, id = entry.throttle or entry.message.unique_key, entry.message.id
        there = queue.tasks.get(id)
        gives_way = there if there and entry.replace_finished and there.state in OVER else None
        if entry.unique_ttl and self.locked(queue, key):
            holder = queue.tasks.get(queue.locks[key][0])
            if not holder or holder.message.unique_key != key:
                return Admission.DUPLICATE  # a throttle
            if holder is not gives_way:
                if entry.on_duplicate == "reject":
                    return Admission.DUPLICATE
                if holder.state in UNBEGUN and not holder.batch:
                    return self.change(queue, holder, entry)
        if there and not gives_way:
            return Admission.ID_CONFLICT
        if gives_way:
            self.remove(queue, gives_way)
        queue = self.queue(entry.message.queue)
        if entry.unique_ttl:
            queue.locks[key] = (id, self.now + entry.unique_ttl)
        task = queue.tasks[id] = Stored(entry.message, entry.state, 0.0)
        self.join(queue, task, entry.state, entry.process_at if entry.state is S.SCHEDULED else self.now)
        return Admission.ACCEPTED

    def change(self, queue: Queue, task: Stored, entry: Entry) -> Replaced:
        """Who waits becomes what a duplicate of it says."""
        before, group, state = task.message, task.message.group, entry.state
        if entry.on_duplicate == "replace":
            task.message = msgspec.structs.replace(entry.message, id=before.id)
            task.result = task.progress = None
        elif entry.state is S.SCHEDULED:
            state = S.RETRY if task.state is S.RETRY else S.SCHEDULED
        else:
            state = S.AGGREGATING if group else S.PENDING
        queue.locks[task.message.unique_key] = (before.id, self.now + entry.unique_ttl)
        in_its_group = state is S.AGGREGATING and group == task.message.group
        if state is task.state and (state is S.PENDING or in_its_group):
            return Replaced(before.id)  # where it was
        self.leave(queue, task)
        self.join(queue, task, state, entry.process_at if state in WAITING else self.now)
        return Replaced(before.id)

    def dequeue(self, names: Sequence[str], limit: int, lease: float, owner: str) -> list[Stored]:
        taken: list[Stored] = []
        for name in names:
            queue = self.queues.get(name, Queue())
            while queue.pending and not queue.paused and len(taken) < limit:
                task = queue.tasks[queue.pending[0]]
                task.waited_since = task.pending_since
                self.leave(queue, task)
                self.leases_given += 1
                task.state, task.at = S.ACTIVE, self.now + lease
                task.visit += 1
                task.lease, task.owner = self.leases_given, owner
                if task.message.unique_until == "started":
                    self.unlock(queue, task.message)
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

    def write_output(self, held: Held, note: Output) -> bool:
        task = self.holds(held)
        if task:
            task.result = task.result if note.result is None else note.result
            task.progress = task.progress if note.progress is None else note.progress
            task.live = task.live if note.live is None else note.live
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
        if end.record is not None:
            task.runs.append(msgspec.structs.replace(end.record, number=len(task.runs) + 1))
        task.message = end.message
        task.result = task.result if end.result is None else end.result
        self.join(queue, task, end.to, self.now if end.to is S.PENDING else end.at, front=True)
        self.ended(queue, task)
        return True

    def ended(self, queue: Queue, task: Stored) -> None:
        """Free the lock of a task that is over, if it says so."""
        until = task.message.unique_until
        if task.state is S.COMPLETED or (task.state is S.ARCHIVED and until in ("started", "ended")):
            self.unlock(queue, task.message)

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
                        queue.tasks[member].returned += 1

    # --- groups -----------------------------------------------------------------------------------

    def groups(self, name: str) -> dict[str, list[Stored]]:
        """The members that nobody has claimed, oldest first."""
        found: dict[str, list[Stored]] = {}
        for task in sorted(self.in_state(name, S.AGGREGATING), key=lambda task: task.at):
            if not task.batch:
                found.setdefault(task.message.group, []).append(task)
        return found

    def claimed(
        self, names: Sequence[str], policy: GroupPolicy, limit: int, answer: Claimed, flushed: str = ""
    ) -> None:
        """Check what was claimed, and take note of it."""
        for batch in answer.batches:
            assert batch.queue in names
            members = self.groups(batch.queue)[batch.group]
            ids = [message.id for message in batch.messages]
            rule = policy.of(batch.group)
            assert rule, "a group without a rule"
            count = rule.ripe(len(members), members[0].at, members[-1].at, self.now)
            if batch.group == flushed:
                count = min(len(members), rule.most)
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
            left = [
                (rule, members)
                for name in dict.fromkeys(names)
                for group, members in self.groups(name).items()
                if (rule := policy.of(group))
            ]
            ripe = [rule.ripe(len(m), m[0].at, m[-1].at, self.now) for rule, m in left]
            assert not any(ripe), "ripe, not claimed"
            next_at = min((rule.ripe_at(m[0].at, m[-1].at) for rule, m in left), default=None)
            assert answer.next_at == next_at

    def merge(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        queue = self.queues.get(batch.queue, Queue())
        if batch.id not in queue.batches:
            return None
        answer = self.admit(merged)
        if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
            for id in queue.batches.pop(batch.id).ids:
                self.remove(queue, queue.tasks[id])
        return answer

    # --- schedules --------------------------------------------------------------------------------

    def standing(self, queue: str, id: str) -> ScheduleState:
        return self.queues.get(queue, Queue()).schedules.get(
            id, ScheduleState(since=self.now, met_at=self.now)
        )

    def register_schedules(self, queue: str, id: str) -> ScheduleState:
        met = self.queue(queue).schedules[id] = self.standing(queue, id)._replace(met_at=self.now)
        return met

    def fire(self, one: Fire) -> Fired:
        name = one.entry.message.queue
        standing = self.standing(name, one.schedule_id)
        if standing.paused or (standing.last is not None and standing.last >= one.tick):
            return Fired(None, standing.paused)
        self.queue(name).schedules[one.schedule_id] = standing._replace(last=one.tick)
        return Fired(self.admit(one.entry))

    def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        standing = self.standing(queue, id)
        if standing.paused is paused:
            return False
        since = standing.since if paused else self.now
        self.queue(queue).schedules[id] = standing._replace(paused=paused, since=since)
        return True

    def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        known = self.queues.get(queue, Queue()).schedules
        gone = [id for id in ids if id in known and known[id].met_at <= before]
        for id in gone:
            del known[id]
        return len(gone)

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
            self.ended(queue, task)
        return Moved.DONE

    def transfer(self, ref: TaskRef, target: str) -> Moved:
        task = self.task(ref)
        if task is None:
            return Moved.NOT_FOUND
        if task.state not in REWRITABLE or ref.queue == target:
            return Moved.WRONG_STATE
        home, there, old = self.queues[ref.queue], self.queues.get(target, Queue()), task.message
        key = old.unique_key.replace(f"asynq:{{{ref.queue}}}:", f"asynq:{{{target}}}:", 1)
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
        by_payload = old.unique_key == unique_key(old.queue, old.type, old.payload)
        key = unique_key(old.queue, old.type, payload) if by_payload else old.unique_key
        task.message = msgspec.structs.replace(old, payload=payload, unique_key=key)
        held = queue.locks.get(old.unique_key)
        if key and held and held[0] == old.id:
            del queue.locks[old.unique_key]
            if not self.locked(queue, key):
                queue.locks[key] = held
        return Moved.DONE

    # --- walks ------------------------------------------------------------------------------------

    def there(self, where: Where) -> dict[TaskRef, Stored]:
        """Who is in a state now."""
        return {
            task.message.ref: task
            for task in self.in_state(where.queue, where.state)
            if where.state is not S.AGGREGATING or task.message.group == where.group
        }

    def begin(self, where: Where) -> Walk:
        return Walk(where, {ref: task.visit for ref, task in self.there(where).items()})

    def walked(self, walk: Walk, answer: Scan) -> None:
        """Check what one step showed, and the whole walk when that was the last."""
        there = self.there(walk.where)
        for info in answer.infos:
            task = there[info.ref]
            assert info == self.info(task)
            walk.shown.append((info.ref, task.visit, task.returned))
        assert len(walk.shown) == len(set(walk.shown)), "shown twice"
        walk.after = answer.after
        if not walk.after:
            stayed = {
                ref for ref, visit in walk.staying.items() if ref in there and there[ref].visit == visit
            }
            assert stayed <= {ref for ref, _, _ in walk.shown}, "left out"

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
            lease_expires_at=task.at if state is S.ACTIVE else 0.0,
            result=task.result,
            progress=task.progress,
        )

    def attempts(self, ref: TaskRef) -> list[AttemptRecord]:
        task = self.task(ref)
        if task is None:
            return []
        found, number = task.runs[-RUNS_KEPT:], len(task.runs) + 1
        if task.state is S.ACTIVE and task.live is None:
            found = [*found, AttemptRecord(number, task.owner)]
        elif task.state is S.ACTIVE and task.live is not None:
            worker = task.live.worker or task.owner
            found = [*found, msgspec.structs.replace(task.live, number=number, worker=worker)]
        return found
