"""A reference model of a store: what each operation must answer.

Written from the rules of the contract, not from a broker. Where the contract leaves something open (the order of
tasks with equal times, which tasks a limit selects) the model checks that the answer is a legal one and adopts it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from asynqio.brokers.contract.limits import ARCHIVE_AGE
from asynqio.brokers.contract.results import Admission, Claimed, Moved, Output, Replaced
from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord
from asynqio.core.groups import (
    BATCH_LEASE,
    GroupBatch,
    GroupFailure,
    GroupPolicy,
    claim_expired,
)
from asynqio.core.lifecycle import Action, Settlement
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import unique_key
from tests.conformance.model_based import records
from tests.conformance.model_based.records import DELAYED, Batch, Held, Queue, S, Stored
from tests.conformance.model_based.scan_model import ScanModel
from tests.conformance.model_based.schedule_model import ScheduleModel

DAY = 86_400


class Model(ScanModel, ScheduleModel):
    """All queues, and the time. Methods answer as the broker must, or check an answer and adopt it."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.queues: dict[str, Queue] = {}
        self.leases_given = 0
        self.fires: defaultdict[str, list[FireEvent]] = defaultdict(list)

    # --- helpers ----------------------------------------------------------------------------------

    def queue(self, name: str) -> Queue:
        return self.queues.setdefault(name, Queue())

    def outlived(self, task: Stored) -> bool:
        """Whether a task counts as deleted, although no sweep has deleted it yet."""
        age = ARCHIVE_AGE if task.state is S.ARCHIVED else 0.0
        return task.state in records.FINISHED and task.at <= self.now - age

    def task(self, ref: TaskRef) -> Stored | None:
        queue = self.queues.get(ref.queue)
        task = queue.tasks.get(ref.id) if queue else None
        return task if task and not self.outlived(task) else None

    def stored(self, name: str, *states: TaskState) -> list[Stored]:
        queue = self.queues.get(name)
        return [task for task in queue.tasks.values() if task.state in states] if queue else []

    def in_state(self, name: str, *states: TaskState) -> list[Stored]:
        return [task for task in self.stored(name, *states) if not self.outlived(task)]

    def locked(self, queue: Queue, key: str) -> bool:
        if key not in queue.locks or queue.locks[key][1] <= self.now:
            return False
        holder = queue.tasks.get(queue.locks[key][0])
        return not (holder and holder.message.unique_key == key and self.outlived(holder))

    def unlock(self, queue: Queue, task: TaskMessage) -> None:
        if task.unique_key and queue.locks.get(task.unique_key, ("", 0.0))[0] == task.id:
            del queue.locks[task.unique_key]

    def leave(self, queue: Queue, task: Stored, group: str = "") -> None:
        """Remove a task from its state; `group` if it had another group than its message has now."""
        id = task.message.id
        if task.state is S.AGGREGATING and not task.batch:
            group = group or task.message.group
            task.state = S.PENDING  # counts no longer
            if not self.unclaimed(queue, group):
                queue.failures.pop(group, None)
            task.state = S.AGGREGATING
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

    # --- enqueue, dequeue, settle -----------------------------------------------------------------

    def admit(self, entry: Entry) -> Admission | Replaced:
        queue = self.queues.get(entry.message.queue, Queue())
        key, id = entry.throttle or entry.message.unique_key, entry.message.id
        existing = queue.tasks.get(id)
        finished = existing and entry.replace_finished and existing.state in records.FINISHED
        replaced = existing if existing and (finished or self.outlived(existing)) else None
        if entry.unique_ttl and self.locked(queue, key):
            holder = queue.tasks.get(queue.locks[key][0])
            if not holder or holder.message.unique_key != key:
                return Admission.DUPLICATE  # a throttle
            if holder is not replaced:
                if entry.on_duplicate == "reject":
                    return Admission.DUPLICATE
                if holder.state in records.WAITING and not holder.batch:
                    return self.change(queue, holder, entry)
        if existing and not replaced:
            return Admission.ID_CONFLICT
        if replaced:
            self.remove(queue, replaced)
        queue = self.queue(entry.message.queue)
        if entry.unique_ttl:
            queue.locks[key] = (id, self.now + entry.unique_ttl)
        task = queue.tasks[id] = Stored(entry.message, entry.state, 0.0)
        self.join(queue, task, entry.state, entry.process_at if entry.state is S.SCHEDULED else self.now)
        return Admission.ACCEPTED

    def change(self, queue: Queue, task: Stored, entry: Entry) -> Replaced:
        """Replace or reschedule the waiting holder of an entry's lock."""
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
            return Replaced(before.id)  # keeps its position
        self.leave(queue, task, group)
        self.join(queue, task, state, entry.process_at if state in DELAYED else self.now)
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

    def write_output(self, held: Held, output: Output) -> bool:
        task = self.holds(held)
        if task:
            task.result = task.result if output.result is None else output.result
            task.progress = task.progress if output.progress is None else output.progress
            task.live = task.live if output.live is None else output.live
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
        """Free the lock of a task that ended, if its mode says so."""
        until = task.message.unique_until
        if task.state is S.COMPLETED or (task.state is S.ARCHIVED and until in ("started", "ended")):
            self.unlock(queue, task.message)

    # --- maintenance ------------------------------------------------------------------------------

    def forwarded(self, moved: list[Stored]) -> None:
        """Adopt a forward: `moved` are the tasks it moved, in the order in which they are pending now."""
        for task in moved:
            queue = self.queues[task.message.queue]
            self.leave(queue, task)
            self.join(queue, task, S.AGGREGATING if task.message.group else S.PENDING, self.now)

    def release(self, names: Sequence[str]) -> None:
        """Return batches whose lease has expired to their group."""
        for name in names:
            queue = self.queues.get(name, Queue())
            for id, batch in list(queue.batches.items()):
                if batch.expires_at <= self.now:
                    group = batch.batch.group
                    before = queue.failures.get(group)
                    queue.failures[group] = claim_expired(before, self.now, batch.batch.oldest_at)
                    self.unclaim(queue, id)

    def unclaim(self, queue: Queue, id: str) -> None:
        """Return the members of a batch to their group."""
        for member in queue.batches.pop(id).ids:
            queue.tasks[member].batch = ""
            queue.tasks[member].released += 1

    # --- groups -----------------------------------------------------------------------------------

    def unclaimed(self, queue: Queue, group: str) -> list[Stored]:
        """The unclaimed members of a group."""
        return [
            task
            for task in queue.tasks.values()
            if task.state is S.AGGREGATING and not task.batch and task.message.group == group
        ]

    def groups(self, name: str) -> dict[str, list[Stored]]:
        """The unclaimed members of each group, oldest first."""
        found: dict[str, list[Stored]] = {}
        for task in sorted(self.in_state(name, S.AGGREGATING), key=lambda task: task.at):
            if not task.batch:
                found.setdefault(task.message.group, []).append(task)
        return found

    def claimed(
        self, names: Sequence[str], policy: GroupPolicy, limit: int, answer: Claimed, flushed: str = ""
    ) -> None:
        """Check claimed batches and adopt them."""
        for batch in answer.batches:
            assert batch.queue in names
            members = self.groups(batch.queue)[batch.group]
            ids = [message.id for message in batch.messages]
            rule = policy.rule_for(batch.group)
            assert rule, "a group without a rule"
            retry_at = self.queues[batch.queue].retry_at(batch.group)
            count = rule.ripe(len(members), members[0].at, members[-1].at, self.now, 0.0, retry_at)
            if batch.group == flushed:
                count = min(len(members), rule.max_batch)
            assert len(ids) == len(set(ids)) == count > 0, "not ripe, or not the right number"
            queue = self.queues[batch.queue]
            times = [queue.tasks[id].at for id in ids]
            assert times == sorted(times) == [task.at for task in members[:count]], "not the oldest first"
            assert list(batch.messages) == [queue.tasks[id].message for id in ids]
            assert batch.expires_at == self.now + BATCH_LEASE
            assert batch.id not in queue.batches
            assert (batch.failure, batch.oldest_at) == (queue.failures.get(batch.group), times[0])
            for id in ids:
                assert not queue.tasks[id].batch, "claimed twice"
                queue.tasks[id].batch = batch.id
            queue.batches[batch.id] = Batch(batch, ids, batch.expires_at)
        assert len(answer.batches) <= limit
        if len(answer.batches) < limit:
            left = [
                (rule, members, self.queues[name].retry_at(group))
                for name in dict.fromkeys(names)
                for group, members in self.groups(name).items()
                if (rule := policy.rule_for(group))
            ]
            ripe = [rule.ripe(len(m), m[0].at, m[-1].at, self.now, 0.0, at) for rule, m, at in left]
            assert not any(ripe), "ripe, not claimed"
            next_at = min((rule.ripe_at(len(m), m[0].at, m[-1].at, at) for rule, m, at in left), default=None)
            assert answer.next_at == next_at

    def merge(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        queue = self.queues.get(batch.queue, Queue())
        if batch.id not in queue.batches:
            return None
        answer = self.admit(merged)
        if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
            self.delete_batch(batch)
        return answer

    def delete_batch(self, batch: GroupBatch) -> bool:
        queue = self.queues.get(batch.queue, Queue())
        if batch.id not in queue.batches:
            return False
        for id in queue.batches.pop(batch.id).ids:
            self.remove(queue, queue.tasks[id])
        failure = queue.failures.get(batch.group)
        waiting = [task.at for task in self.unclaimed(queue, batch.group)]
        if failure and (not waiting or min(waiting) > failure.oldest_at):
            del queue.failures[batch.group]
        return True

    def renew_batch(self, batch: GroupBatch, lease: float) -> bool:
        held = self.queues.get(batch.queue, Queue()).batches.get(batch.id)
        if held:
            held.expires_at = self.now + lease
        return held is not None

    def return_batch(self, batch: GroupBatch, failure: GroupFailure | None, archive: bool) -> bool:
        queue = self.queues.get(batch.queue, Queue())
        if batch.id not in queue.batches:
            return False
        if failure and archive:
            for id in queue.batches.pop(batch.id).ids:
                task = queue.tasks[id]
                task.batch = ""
                task.message = msgspec.structs.replace(
                    task.message, last_error=failure.error, last_failed_at=self.now
                )
                task.state = S.ARCHIVED  # it left no group unclaimed
                self.join(queue, task, S.ARCHIVED, self.now)
                self.ended(queue, task)
            queue.failures.pop(batch.group, None)
            return True
        if failure:
            queue.failures[batch.group] = failure
        self.unclaim(queue, batch.id)
        return True

    # --- operator actions -------------------------------------------------------------------------

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
        if task.state not in records.REWRITABLE or ref.queue == target:
            return Moved.WRONG_STATE
        origin, destination, old = self.queues[ref.queue], self.queues.get(target, Queue()), task.message
        key = old.unique_key.replace(f"asynq:{{{ref.queue}}}:", f"asynq:{{{target}}}:", 1)
        held = origin.locks.get(old.unique_key, ("", 0.0))
        holds = held[0] == old.id and held[1] > self.now
        if holds and self.locked(destination, key):
            return Moved.DUPLICATE
        if self.task(TaskRef(target, old.id)):
            return Moved.ID_CONFLICT
        destination = self.queue(target)
        if old.id in destination.tasks:
            self.remove(destination, destination.tasks[old.id])
        self.remove(origin, task)
        if holds:
            destination.locks[key] = held
        task.message = msgspec.structs.replace(old, queue=target, unique_key=key)
        destination.tasks[old.id] = task
        self.join(destination, task, task.state, self.now if task.state is S.PENDING else task.at)
        return Moved.DONE

    def rewrite(self, ref: TaskRef, payload: bytes) -> Moved:
        task = self.task(ref)
        if task is None:
            return Moved.NOT_FOUND
        if task.state not in records.REWRITABLE:
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

    # --- snapshots --------------------------------------------------------------------------------

    def info(self, task: Stored) -> TaskInfo:
        state = task.state
        due = task.at if state in DELAYED else self.now if state is S.PENDING else 0.0
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
