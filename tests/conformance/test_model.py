"""Random sequences of every operation, on every broker, against a model: rule 1 and all others.

`ASYNQIO_MODEL_EXAMPLES=2000` makes it a long run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import itertools
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Admission, Moved, Output, Replaced
from asynqio.core.attempts.final_record import recorded
from asynqio.core.attempts.record import AttemptRecord, LogLine
from asynqio.core.groups import GroupBatch, GroupPolicy, GroupRule, GroupRules
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import (
    Aborted,
    Action,
    Failed,
    Outcome,
    Policy,
    Settlement,
    Succeeded,
    UnknownTask,
    decide,
)
from asynqio.core.retry import FixedRetry
from asynqio.core.schedules.records import Fire, FireEvent
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import LockHolder, unique_key
from asynqio.errors import (
    BadPayload,
    HandlerNotFound,
    LeaseExpired,
    QueueNotFound,
    RetryIn,
    RevokeTask,
    SkipRetry,
    WrongState,
)
from asynqio.testing import FakeClock
from tests.builders import card, entry
from tests.conformance.conftest import broker_url, make_store
from tests.conformance.model import DAY, WAITING, Held, Model, Queue, Stored, Walk

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])
S = TaskState
ALL = Page(size=10_000)
EXAMPLES = os.environ.get("ASYNQIO_MODEL_EXAMPLES", "")
QUEUES = ("high", "low {q}", "empty")
#: Where writing costs nothing, if there is such a place: thousands of commits, none of which must last.
MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PAYLOADS = (b"1", b"2", None)
LOCKABLE = (*PAYLOADS, b"3")
RETENTION = 300.0

queue_names = st.sampled_from(QUEUES[:2])
several_queues = st.permutations(QUEUES).flatmap(
    lambda order: st.integers(0, len(order)).map(lambda count: tuple(order[:count]))
) | st.just(QUEUES)
limits = st.integers(1, 5)
some_ids = st.sampled_from(["a", "b", "c", "d"])
spans = st.sampled_from([1.0, 5.0, 30.0])
schedule_ids = st.sampled_from(["hourly", "daily {x}", "last:"])
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Succeeded(),
        Succeeded(),
        Succeeded(b"result"),
        Failed(ValueError("no")),
        Failed(SkipRetry("hopeless")),
        Failed(RevokeTask()),
        Failed(RetryIn(20)),
        Failed(BadPayload("work", "no")),
        Failed(HandlerNotFound("work")),
        Failed(LeaseExpired()),
        Aborted(),
    ]
)
policies = st.sampled_from(
    [
        Policy(retry=FixedRetry(5.0)),
        Policy(retry=FixedRetry(5.0), is_failure=lambda error: False),
        Policy(retry=FixedRetry(0.0), unknown=UnknownTask.ARCHIVE, max_crashes=1),
    ]
)
group_rules = st.builds(
    GroupRule,
    grace=st.sampled_from([0.0, 5.0, 30.0]),
    max_delay=st.sampled_from([0.0, 30.0]),
    max_size=st.sampled_from([0, 1, 2]),
)
group_policies: st.SearchStrategy[GroupPolicy] = group_rules | st.dictionaries(
    st.sampled_from(["", "g", "h", "h {x}"]), group_rules
).map(GroupRules)
NEVER = GroupRule(grace=1e9)


@dataclasses.dataclass
class Operation:
    """One thing that may happen next. `weight`: how often; `needs`: what there must be some of."""

    name: str
    weight: int
    needs: str
    arguments: dict[str, st.SearchStrategy[Any]]

    def __repr__(self) -> str:
        return self.name


OPERATIONS: list[Operation] = []


def operation(*, weight: int = 1, needs: str = "", **arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Enter a method as an operation. Not Hypothesis' own rules: it switches a random half of those off in each
    run, and hardly ever leaves on all of enqueue, dequeue, and what needs a lease."""

    def enter(method: F) -> F:
        OPERATIONS.append(Operation(method.__name__, weight, needs, arguments))
        return method

    return enter


class StoreMachine(RuleBasedStateMachine):
    """A broker and the model, side by side. Each machine has an event loop and a store of its own."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_DISK)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.broker = make_store(self.kind, broker_url(self.kind, Path(self.folder.name)), self.clock)
        self.run(self.broker.__aenter__())
        self.model = Model(self.clock.now())
        self.held: list[Held] = []
        self.batches: list[GroupBatch] = []
        self.walks: list[Walk] = []
        self.known: set[TaskRef] = set()
        self.servers: dict[str, tuple[ServerInfo, float]] = {}
        self.schedulers: dict[str, tuple[SchedulerInfo, float]] = {}
        self.fresh = itertools.count()

    def run(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self.loop.run_until_complete(wait())

    def teardown(self) -> None:
        self.run(self.broker.__aexit__(None, None, None))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    @initialize(data=st.data())
    def some_tasks(self, data: st.DataObject) -> None:
        self.enqueue(data, 4)

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        possible = [op for op in OPERATIONS if not op.needs or getattr(self, op.needs)]
        chosen = data.draw(st.sampled_from([op for op in possible for _ in range(op.weight)]), "operation")
        method = getattr(self, chosen.name)
        arguments = {name: data.draw(strategy, name) for name, strategy in chosen.arguments.items()}
        if "data" in inspect.signature(method).parameters:
            arguments["data"] = data
        method(**arguments)

    # --- tasks in ---------------------------------------------------------------------------------

    def an_entry(self, data: st.DataObject, queue: str) -> Entry:
        kind = data.draw(st.sampled_from(["now", "now", "later", "group", "group", "later in group"]), "kind")
        return entry(
            data.draw(st.none() | some_ids, "id") or f"fresh-{next(self.fresh)}",
            type="work",
            queue=queue,
            payload=data.draw(st.sampled_from(PAYLOADS), "payload"),
            at=self.clock.now() + data.draw(st.sampled_from([-5, 0, 1, 5, 30]), "delay")
            if "later" in kind
            else 0.0,
            group=data.draw(st.sampled_from(["g", "h {x}"]), "group") if "group" in kind else "",
            **self.a_lock(data),
            replace_finished=data.draw(st.sampled_from([False, False, True]), "replace_finished"),
            retention=data.draw(st.sampled_from([0.0, RETENTION]), "retention"),
            max_retry=data.draw(st.sampled_from([0, 1, 25]), "max_retry"),
        )

    def a_lock(self, data: st.DataObject) -> dict[str, Any]:
        unique = data.draw(st.sampled_from([0.0, 0.0, 60.0, 300.0]), "unique")  # long in real time
        if not unique or data.draw(st.booleans(), "as in Go"):
            return {"unique": unique}
        until = data.draw(st.sampled_from(["finished", "started", "ended", "expired"]), "until")
        return {
            "unique": unique,
            "until": until,
            "by": data.draw(st.sampled_from([None, b"1", b"3"]), "by"),
            "on_duplicate": "reject"
            if until == "expired"
            else data.draw(st.sampled_from(["reject", "replace", "reschedule"]), "on_duplicate"),
        }

    @operation(weight=5, count=st.integers(1, 4))
    def enqueue(self, data: st.DataObject, count: int) -> None:
        entries = [self.an_entry(data, data.draw(queue_names, "queue")) for _ in range(count)]
        self.known |= {one.message.ref for one in entries}
        assert self.run(self.broker.enqueue(entries)) == [self.model.admit(one) for one in entries]

    # --- tasks out --------------------------------------------------------------------------------

    @operation(
        weight=5, queues=several_queues, limit=limits, lease=spans, owner=st.sampled_from(["one", "two"])
    )
    def dequeue(self, queues: tuple[str, ...], limit: int, lease: float, owner: str) -> None:
        timed = len(self.held) % 2 == 0
        leases = self.run(self.broker.dequeue(queues, limit, lease, owner, timed=timed))
        expected = self.model.dequeue(queues, limit, lease, owner)
        if timed:
            since = [task.waited_since for task in expected]
            assert [given.pending_since for given in leases] == pytest.approx(since, abs=0.001)
        assert [given.message for given in leases] == [task.message for task in expected]
        assert {given.expires_at for given in leases} <= {self.clock.now() + lease}
        self.held += [Held(given, task.lease) for given, task in zip(leases, expected, strict=True)]

    def some_leases(self, data: st.DataObject) -> list[Held]:
        some = self.held if data.draw(st.booleans(), "stale ones too") else self.held[-4:]
        return data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=4), "leases")

    @operation(weight=4, needs="held", policy=policies)
    def settle(self, data: st.DataObject, policy: Policy) -> None:
        some = self.some_leases(data)
        ends = [self.an_end(data, h, policy) for h in some]
        expected = [self.model.settle(h, end) for h, end in zip(some, ends, strict=True)]
        assert self.run(self.broker.settle(ends)) == expected

    def an_end(self, data: st.DataObject, held: Held, policy: Policy) -> Settlement:
        outcome, now = data.draw(outcomes, "outcome"), self.clock.now()
        end = decide(held.lease, outcome, now, policy)
        if not data.draw(st.booleans(), "recorded"):
            return end
        return recorded(end, outcome, AttemptRecord(worker="one", started_at=now - 1), now)

    @operation(weight=2, needs="held", lease=spans)
    def renew(self, data: st.DataObject, lease: float) -> None:
        some = self.some_leases(data)
        expected = [self.model.renew(h, lease) for h in some]
        before = [h.lease.expires_at for h in some]
        assert self.run(self.broker.renew([h.lease for h in some], lease)) == expected
        for h, was, renewed in zip(some, before, expected, strict=True):
            assert h.lease.expires_at == (self.clock.now() + lease if renewed else was)

    @operation(queue=queue_names)
    def memory_usage(self, queue: str) -> None:
        if queue in self.model.queues:
            [bytes] = self.run(self.broker.memory_usage([queue]))
            assert bytes >= 100 * len(self.model.queues[queue].tasks)

    @operation(owner=st.sampled_from(["one", "two", "nobody"]), lease=spans)
    def renew_owner(self, owner: str, lease: float) -> None:
        assert self.run(self.broker.renew_owner(owner, lease)) == self.model.renew_owner(owner, lease)

    @operation(
        needs="held",
        result=st.sampled_from([None, b"", b"r"]),
        progress=st.sampled_from([None, b"1", b"2"]),
        said=st.sampled_from(["", "one", "two"]),
    )
    def write_output(
        self, data: st.DataObject, result: bytes | None, progress: bytes | None, said: str
    ) -> None:
        some, now = self.some_leases(data), self.clock.now()
        live = AttemptRecord(started_at=now, log=[LogLine(now, said)]) if said else None
        notes = [Output(h.lease, result, progress, live) for h in some]
        expected = [self.model.write_output(h, note) for h, note in zip(some, notes, strict=True)]
        assert self.run(self.broker.write_output(notes)) == expected

    # --- what time does to tasks ------------------------------------------------------------------

    @operation(weight=3, seconds=st.sampled_from([1.0, 1.0, 5.0, 30.0, 120.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.now = self.clock.now()

    @operation()
    def a_new_day_begins(self) -> None:
        self.time_passes(DAY - self.clock.now() % DAY)

    @operation(weight=3, queues=several_queues, limit=limits)
    def forward(self, queues: tuple[str, ...], limit: int) -> None:
        now = self.clock.now()
        waiting = [task for name in queues for task in self.model.in_state(name, *WAITING)]
        due = [task for task in waiting if task.at <= now]
        answer = self.run(self.broker.forward(queues, limit))
        moved = [task for task in due if self.look(task).state not in WAITING]
        assert answer.moved == len(moved) == min(limit, len(due))
        for name in queues:  # the earliest of each queue
            gone = [task.at for task in moved if task.message.queue == name]
            left = [task.at for task in due if task.message.queue == name and task not in moved]
            assert max(gone, default=0.0) <= min(left, default=now)
        places = {(name, id): place for name in queues for place, id in enumerate(self.pending(name))}
        moved.sort(key=lambda task: (places.get((task.message.queue, task.message.id), 0), task.at))
        for name in queues:
            times = [task.at for task in moved if task.message.queue == name and not task.message.group]
            assert times == sorted(times), "not the earliest first"
        self.model.forwarded(moved)
        left_at = [task.at for task in waiting if task.state in WAITING]
        assert answer.next_at == min(left_at, default=None)

    def look(self, task: Stored) -> Any:
        [info] = self.run(self.broker.find([task.message.ref]))
        assert info is not None
        return info

    def pending(self, queue: str) -> list[str]:
        if queue not in self.model.queues:
            return []
        return [info.id for info in self.run(self.broker.tasks(Where(queue, S.PENDING), ALL))]

    @operation(weight=2, queues=several_queues, limit=limits, recover=st.booleans())
    def expired(self, queues: tuple[str, ...], limit: int, recover: bool) -> None:
        now = self.clock.now()
        active = [task for name in queues for task in self.model.in_state(name, S.ACTIVE)]
        lapsed = {task.message.ref: task for task in active if task.at <= now}
        found = self.run(self.broker.expired(queues, limit))
        assert found.next_at == min((task.at for task in active if task.at > now), default=None)
        refs = [lease.message.ref for lease in found.leases]
        assert len(refs) == len(set(refs)) == min(limit, len(lapsed))
        for lease in found.leases:
            task = lapsed[lease.message.ref]
            assert (lease.message, lease.expires_at) == (task.message, task.at)
        some = [Held(lease, lapsed[lease.message.ref].lease) for lease in found.leases]
        if not recover:
            self.held += some
            return
        ends = [decide(h.lease, Failed(LeaseExpired()), now, Policy()) for h in some]
        for h, end in zip(some, ends, strict=True):
            assert self.model.settle(h, end)
        assert self.run(self.broker.settle(ends)) == [True] * len(ends)

    @operation(weight=2, needs="held")
    def a_server_dies_and_another_takes_over(self) -> None:
        self.time_passes(30.0)
        self.expired(QUEUES, 5, True)
        self.dequeue(QUEUES, 5, 30.0, "two")

    @operation(weight=2, queues=several_queues, limit=limits)
    def sweep(self, queues: tuple[str, ...], limit: int) -> None:
        now = self.clock.now()
        completed = [task for name in queues for task in self.model.in_state(name, S.COMPLETED)]
        over = [task for task in completed if task.at <= now]
        answer = self.run(self.broker.sweep(queues, limit))
        found = self.run(self.broker.find([task.message.ref for task in over]))
        gone = [task for task, info in zip(over, found, strict=True) if info is None]
        assert answer.deleted == len(gone) == min(limit, len(over))
        for task in gone:
            self.model.remove(self.model.queues[task.message.queue], task)
        self.model.release(queues)
        next_at = [task.at for task in completed if task not in gone]
        for name in queues:
            batches = self.model.queues.get(name, Queue()).batches.values()
            next_at += [batch.batch.expires_at for batch in batches]
        assert answer.next_at == min(next_at, default=None)

    # --- groups -----------------------------------------------------------------------------------

    @operation(weight=2, queues=several_queues, limit=limits, wanted=group_policies)
    def claim_groups(self, queues: tuple[str, ...], limit: int, wanted: GroupPolicy) -> None:
        answer = self.run(self.broker.claim_groups(queues, wanted, limit))
        self.model.claimed(queues, wanted, limit, answer)
        self.batches += answer.batches

    @operation(queue=queue_names, group=st.sampled_from(["g", "h {x}"]))
    def flush_group(self, queue: str, group: str) -> None:
        """And claim it: until when a group stays flushed is open."""
        if queue not in self.model.queues:
            with pytest.raises(QueueNotFound):
                self.run(self.broker.flush_group(queue, group))
            return
        members = self.model.groups(queue).get(group, [])
        assert self.run(self.broker.flush_group(queue, group)) == len(members)
        answer = self.run(self.broker.claim_groups([queue], NEVER, 100))
        assert [(batch.group, len(batch.messages)) for batch in answer.batches] == (
            [(group, len(members))] if members else []
        )
        self.model.claimed([queue], NEVER, 100, answer, flushed=group)
        self.batches += answer.batches

    @operation(weight=5, needs="batches")
    def merge_group(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(self.batches), "batch")
        merged = self.an_entry(data, batch.queue)
        members = {message.id for message in batch.messages}
        keys = {message.unique_key for message in batch.messages}
        if merged.message.id in members or (merged.unique_ttl and merged.lock in keys):
            return  # a merged task that collides with its own members: the contract does not say
        self.known.add(merged.message.ref)
        assert self.run(self.broker.merge_group(batch, merged)) == self.model.merge(batch, merged)

    # --- schedules --------------------------------------------------------------------------------

    @operation(weight=4, count=st.integers(1, 4))
    def fire(self, data: st.DataObject, count: int) -> None:
        fires = []
        for _ in range(count):
            late = data.draw(st.sampled_from([0.0, 0.0, 1.0, 60.0, -3600.0]), "how late")
            one = self.an_entry(data, data.draw(queue_names, "queue"))
            fires.append(Fire(data.draw(schedule_ids, "schedule"), self.clock.now() // 1 - late, one))
        self.known |= {one.entry.message.ref for one in fires}
        assert self.run(self.broker.fire(fires)) == [self.model.fire(one) for one in fires]

    @operation(queue=queue_names, ids=st.lists(schedule_ids, max_size=3))
    def register_schedules(self, queue: str, ids: list[str]) -> None:
        answers = self.run(self.broker.register_schedules(queue, ids))
        self.model.queue(queue)
        assert answers == [self.model.register_schedules(queue, id) for id in ids]

    @operation(weight=2, queue=queue_names, id=schedule_ids, paused=st.booleans())
    def pause_schedule(self, queue: str, id: str, paused: bool) -> None:
        assert self.run(self.broker.pause_schedule(queue, id, paused)) is self.model.pause_schedule(
            queue, id, paused
        )

    @operation(
        queue=queue_names,
        ids=st.lists(schedule_ids, max_size=3, unique=True),
        ago=st.sampled_from([0.0, 60.0, -1e9]),
    )
    def prune_schedules(self, queue: str, ids: list[str], ago: float) -> None:
        before = self.clock.now() - ago
        assert self.run(self.broker.prune_schedules(queue, ids, before)) == self.model.prune_schedules(
            queue, ids, before
        )

    @operation(id=schedule_ids, count=st.integers(0, 3))
    def record(self, id: str, count: int) -> None:
        events = [FireEvent(id, f"fresh-{next(self.fresh):06}", self.clock.now()) for _ in range(count)]
        self.run(self.broker.record(events))
        self.model.fires[id] += events
        assert self.run(self.broker.fires(id, ALL)) == self.model.fires[id][::-1]

    @operation(id=st.sampled_from(["h:1:one", "h:1:two"]), ttl=spans, there=st.booleans())
    def a_scheduler_shows_itself_or_leaves(self, id: str, ttl: float, there: bool) -> None:
        one = SchedulerInfo(id, "h", 1, self.clock.now())
        if there:
            self.run(self.broker.beat(one, ttl))
            self.schedulers[id] = (one, self.clock.now() + ttl)
        else:
            self.run(self.broker.leave(one))
            self.schedulers.pop(id, None)

    # --- who is there -----------------------------------------------------------------------------

    @operation(id=st.sampled_from(["one", "two"]), processed=st.integers(0, 9), ttl=spans)
    def beat(self, id: str, processed: int, ttl: float) -> None:
        one = card(id, processed=processed)
        self.run(self.broker.beat(one, ttl))
        self.servers[id] = (one, self.clock.now() + ttl)

    @operation(id=st.sampled_from(["one", "two", "three"]))
    def leave(self, id: str) -> None:
        self.run(self.broker.leave(card(id)))
        self.servers.pop(id, None)

    @operation(queue=queue_names, id=some_ids, archive=st.booleans())
    def cancel(self, queue: str, id: str, archive: bool) -> None:
        self.run(self.broker.cancel([TaskRef(queue, id)], archive=archive))

    # --- operators --------------------------------------------------------------------------------

    @operation(weight=2, needs="known", action=st.sampled_from(Action))
    def move(self, data: st.DataObject, action: Action) -> None:
        refs = data.draw(st.lists(st.sampled_from(sorted(self.known)), min_size=1, max_size=3), "tasks")
        assert self.run(self.broker.move(action, refs)) == [self.model.move(action, ref) for ref in refs]

    @operation(
        queue=queue_names,
        state=st.sampled_from(TaskState),
        group=st.sampled_from(["", "g"]),
        action=st.sampled_from(Action),
    )
    def move_all(self, queue: str, state: TaskState, group: str, action: Action) -> None:
        where = Where(queue, state, group if state is S.AGGREGATING else "")
        if queue not in self.model.queues:
            with pytest.raises(QueueNotFound):
                self.run(self.broker.move_all(action, where))
            return
        chosen = [
            task.message.ref
            for task in self.model.in_state(queue, state)
            if not where.group or task.message.group == where.group
        ]
        moved = self.run(self.broker.move_all(action, where))
        assert moved == [self.model.move(action, ref) for ref in chosen].count(Moved.DONE)
        if action is Action.RUN:  # in which order they line up is open
            model, there = self.model.queues[queue], self.pending(queue)
            waited = len(model.pending) - moved
            assert there[:waited] == model.pending[:waited]
            assert sorted(there) == sorted(model.pending)
            model.pending = there

    @operation(
        weight=2, queue=queue_names, state=st.sampled_from(TaskState), group=st.sampled_from(["g", "h {x}"])
    )
    def begin_a_walk(self, queue: str, state: TaskState, group: str) -> None:
        if queue in self.model.queues:
            self.walks.append(self.model.begin(Where(queue, state, group if state is S.AGGREGATING else "")))

    @operation(weight=4, needs="walks", size=st.integers(1, 2))
    def take_a_step(self, data: st.DataObject, size: int) -> None:
        walk = data.draw(st.sampled_from(self.walks), "walk")
        self.model.walked(walk, self.run(self.broker.scan(walk.where, walk.after, size)))
        if not walk.after:
            self.walks.remove(walk)

    @operation(weight=3, needs="known", target=queue_names)
    def transfer(self, data: st.DataObject, target: str) -> None:
        one = data.draw(st.sampled_from(sorted(self.known)), "task")
        same = [ref for ref in sorted(self.known) if ref.queue == one.queue]
        refs = data.draw(st.lists(st.sampled_from(same), max_size=3, unique=True), "more")
        expected = [self.model.transfer(ref, target) for ref in refs]
        self.known |= {TaskRef(target, ref.id) for ref in refs}
        assert self.run(self.broker.transfer(refs, target)) == expected

    @operation(weight=2, needs="known")
    def rewrite(self, data: st.DataObject) -> None:
        refs = data.draw(st.lists(st.sampled_from(sorted(self.known)), min_size=1, max_size=3, unique=True))
        payloads = {ref: data.draw(st.sampled_from([b"1", b"2", b"3"]), "payload") for ref in refs}
        expected = [self.model.rewrite(ref, payload) for ref, payload in payloads.items()]
        assert self.run(self.broker.rewrite(payloads)) == expected

    @operation(queue=queue_names, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        if queue not in self.model.queues and not paused:
            return  # whether resuming makes a queue is open
        changed = self.model.queue(queue).paused is not paused
        self.model.queue(queue).paused = paused
        assert self.run(self.broker.pause(queue, paused)) is changed

    @operation(queue=queue_names, type=st.sampled_from(["work", "play"]), paused=st.booleans())
    def pause_type(self, queue: str, type: str, paused: bool) -> None:
        if queue not in self.model.queues and not paused:
            return
        types = self.model.queue(queue).paused_types
        changed = (type in types) is not paused
        if paused:
            types.setdefault(type, self.clock.now())
        else:
            types.pop(type, None)
        assert self.run(self.broker.pause_type(queue, type, paused)) is changed

    @operation(queue=queue_names, force=st.booleans())
    def remove_queue(self, queue: str, force: bool) -> None:
        there = self.model.queues.get(queue)
        if there is None or there.active or (there.tasks and not force):
            with pytest.raises(QueueNotFound if there is None else WrongState):
                self.run(self.broker.remove_queue(queue, force=force))
        else:
            self.run(self.broker.remove_queue(queue, force=force))
            del self.model.queues[queue]
            self.walks = [walk for walk in self.walks if walk.where.queue != queue]

    # --- after every step -------------------------------------------------------------------------

    @invariant()
    def the_store_shows_what_the_model_says(self) -> None:
        async def compare() -> None:
            queues = (self.compare_queue(name, queue) for name, queue in self.model.queues.items())
            await asyncio.gather(self.compare_tasks(), self.compare_servers(), *queues)

        self.run(compare())

    async def compare_tasks(self) -> None:
        refs = sorted(self.known)
        tasks = [self.model.task(ref) for ref in refs]
        assert await self.broker.find(refs) == [task and self.model.info(task) for task in tasks]
        assert await self.broker.attempts(refs) == [self.model.attempts(ref) for ref in refs]
        assert await self.broker.queues() == sorted(self.model.queues)
        paused = {name: queue.paused_types for name, queue in self.model.queues.items() if queue.paused_types}
        assert await self.broker.paused_types(QUEUES) == paused

    async def compare_queue(self, name: str, queue: Queue) -> None:
        (stats, history, groups, answers), lists = await asyncio.gather(
            asyncio.gather(
                self.broker.stats([name]),
                self.broker.history(name, 3),
                self.broker.groups(name),
                self.try_locks(name, queue),
            ),
            asyncio.gather(*(self.broker.tasks(Where(name, state), ALL) for state in TaskState)),
        )
        [figures] = stats
        for state, infos in zip(TaskState, lists, strict=True):
            shown = [info.id for info in infos]
            assert len(shown) == getattr(figures, state.value)
            self.compare_order(name, queue, state, shown)
        now = self.clock.now()
        today = int(now // DAY)
        assert (figures.queue, figures.paused) == (name, queue.paused)
        assert [figures.processed, figures.failed] == queue.days[today]
        totals = [sum(days) for days in zip(*queue.days.values(), strict=True)]
        assert [figures.processed_total, figures.failed_total] == totals
        assert [[day.processed, day.failed] for day in history] == [queue.days[today - n] for n in range(3)]
        since = [queue.tasks[id].pending_since for id in queue.pending]
        assert figures.oldest_pending_at == min(since, default=0.0)
        assert figures.latency == (now - min(since) if since else 0.0)
        overdue = [task.at for task in self.model.in_state(name, *WAITING) if task.at <= now]
        assert figures.overdue_since == min(overdue, default=0.0)
        assert not figures.estimated
        assert {g.group: (g.size, g.oldest_at, g.newest_at) for g in groups} == {
            group: (len(members), members[0].at, members[-1].at)
            for group, members in self.model.groups(name).items()
        }
        assert figures.groups == len(groups)
        locks = [self.model.locked(queue, unique_key(name, "work", payload)) for payload in LOCKABLE]
        expected = [Admission.DUPLICATE if held else Admission.ID_CONFLICT for held in locks]
        assert answers == (expected if queue.tasks else [])
        assert await self.broker.schedule_states(name) == queue.schedules
        for payload, is_held in zip(LOCKABLE, locks, strict=True):
            key = unique_key(name, "work", payload)
            holder = LockHolder(*queue.locks[key]) if is_held else None
            assert await self.broker.lock_holder(name, key) == holder

    async def try_locks(self, name: str, queue: Queue) -> list[Admission | Replaced]:
        """Tried with an id that is taken: a held lock answers DUPLICATE, a free one ID_CONFLICT."""
        if not queue.tasks:
            return []
        taken = next(iter(queue.tasks))
        probes = [entry(taken, type="work", queue=name, payload=payload, unique=1e9) for payload in LOCKABLE]
        return await self.broker.enqueue(probes)

    def compare_order(self, name: str, queue: Queue, state: TaskState, shown: list[str]) -> None:
        if state is S.PENDING:
            assert shown == queue.pending
        elif state is S.ACTIVE:
            assert shown == queue.active
        else:
            assert sorted(shown) == sorted(task.message.id for task in self.model.in_state(name, state))
            times = [queue.tasks[id].at for id in shown]
            assert times == sorted(times, reverse=state in (S.COMPLETED, S.ARCHIVED))

    async def compare_servers(self) -> None:
        alive = {one.id: one for one, until in self.servers.values() if until > self.clock.now()}
        assert {one.id: one for one in await self.broker.servers()} == alive
        serving = {one.id: one for one, until in self.schedulers.values() if until > self.clock.now()}
        assert {one.id: one for one in await self.broker.schedulers()} == serving


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_a_broker_does_what_the_model_does(kind: str) -> None:
    machine = type(f"StoreMachine_{kind}", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            # Unless told otherwise, what each broker does in a few seconds.
            max_examples=int(EXAMPLES or (60 if kind == "memory" else 15)),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
