"""Operations on tasks: enqueue, dequeue, leases, settle, output, and maintenance."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptRecord, LogLine
from asynqio.core.lifecycle import (
    Aborted,
    Failed,
    Outcome,
    Policy,
    Settlement,
    Succeeded,
    UnknownTask,
    decide,
)
from asynqio.core.retry import FixedRetry
from asynqio.errors import (
    BadPayload,
    HandlerNotFound,
    LeaseExpired,
    RetryIn,
    RevokeTask,
    SkipRetry,
)
from tests.conformance.model_based.machine import (
    QUEUES,
    Machine,
    limits,
    operation,
    queue_names,
    several_queues,
    spans,
)
from tests.conformance.model_based.model import DAY
from tests.conformance.model_based.records import DELAYED, Held, Queue, S

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


@operation(weight=5, count=st.integers(1, 4))
def enqueue(machine: Machine, data: st.DataObject, count: int) -> None:
    entries = [machine.draw_entry(data, data.draw(queue_names, "queue")) for _ in range(count)]
    machine.known |= {one.message.ref for one in entries}
    assert machine.run(machine.broker.enqueue(entries)) == [machine.model.admit(one) for one in entries]


# --- dequeue, leases, settle ----------------------------------------------------------------------


@operation(weight=5, queues=several_queues, limit=limits, lease=spans, owner=st.sampled_from(["one", "two"]))
def dequeue(machine: Machine, queues: tuple[str, ...], limit: int, lease: float, owner: str) -> None:
    timed = len(machine.held) % 2 == 0
    leases = machine.run(machine.broker.dequeue(queues, limit, lease, owner, timed=timed))
    expected = machine.model.dequeue(queues, limit, lease, owner)
    if timed:
        since = [task.waited_since for task in expected]
        assert [given.pending_since for given in leases] == pytest.approx(since, abs=0.001)
    assert [given.message for given in leases] == [task.message for task in expected]
    assert {given.expires_at for given in leases} <= {machine.clock.now() + lease}
    machine.held += [Held(given, task.lease) for given, task in zip(leases, expected, strict=True)]


@operation(weight=4, needs="held", policy=policies)
def settle(machine: Machine, data: st.DataObject, policy: Policy) -> None:
    some = machine.draw_leases(data)
    ends = [_draw_settlement(machine, data, h, policy) for h in some]
    expected = [machine.model.settle(h, end) for h, end in zip(some, ends, strict=True)]
    assert machine.run(machine.broker.settle(ends)) == expected


def _draw_settlement(machine: Machine, data: st.DataObject, held: Held, policy: Policy) -> Settlement:
    outcome, now = data.draw(outcomes, "outcome"), machine.clock.now()
    end = decide(held.lease, outcome, now, policy)
    if not data.draw(st.booleans(), "recorded"):
        return end
    return with_record(end, outcome, AttemptRecord(worker="one", started_at=now - 1), now)


@operation(weight=2, needs="held", lease=spans)
def renew(machine: Machine, data: st.DataObject, lease: float) -> None:
    some = machine.draw_leases(data)
    expected = [machine.model.renew(h, lease) for h in some]
    before = [h.lease.expires_at for h in some]
    assert machine.run(machine.broker.renew([h.lease for h in some], lease)) == expected
    for h, was, renewed in zip(some, before, expected, strict=True):
        assert h.lease.expires_at == (machine.clock.now() + lease if renewed else was)


@operation(queue=queue_names)
def memory_usage(machine: Machine, queue: str) -> None:
    if queue in machine.model.queues:
        [bytes] = machine.run(machine.broker.memory_usage([queue]))
        assert bytes >= 100 * len(machine.model.queues[queue].tasks)


@operation(owner=st.sampled_from(["one", "two", "nobody"]), lease=spans)
def renew_owner(machine: Machine, owner: str, lease: float) -> None:
    assert machine.run(machine.broker.renew_owner(owner, lease)) == machine.model.renew_owner(owner, lease)


@operation(
    needs="held",
    result=st.sampled_from([None, b"", b"r"]),
    progress=st.sampled_from([None, b"1", b"2"]),
    line=st.sampled_from(["", "one", "two"]),
)
def write_output(
    machine: Machine, data: st.DataObject, result: bytes | None, progress: bytes | None, line: str
) -> None:
    some, now = machine.draw_leases(data), machine.clock.now()
    live = AttemptRecord(started_at=now, log=[LogLine(now, line)]) if line else None
    outputs = [Output(h.lease, result, progress, live) for h in some]
    expected = [machine.model.write_output(h, output) for h, output in zip(some, outputs, strict=True)]
    assert machine.run(machine.broker.write_output(outputs)) == expected


# --- maintenance ----------------------------------------------------------------------------------


@operation(weight=3, seconds=st.sampled_from([1.0, 1.0, 5.0, 30.0, 120.0, 300.0]))
def advance_clock(machine: Machine, seconds: float) -> None:
    machine.clock.advance(seconds)
    machine.model.now = machine.clock.now()


@operation()
def start_a_new_day(machine: Machine) -> None:
    advance_clock(machine, DAY - machine.clock.now() % DAY)


@operation(weight=3, queues=several_queues, limit=limits)
def forward(machine: Machine, queues: tuple[str, ...], limit: int) -> None:
    now = machine.clock.now()
    waiting = [task for name in queues for task in machine.model.in_state(name, *DELAYED)]
    due = [task for task in waiting if task.at <= now]
    answer = machine.run(machine.broker.forward(queues, limit))
    moved = [task for task in due if machine.find(task).state not in DELAYED]
    assert answer.moved == len(moved) == min(limit, len(due))
    for name in queues:  # the earliest tasks of each queue moved
        gone = [task.at for task in moved if task.message.queue == name]
        left = [task.at for task in due if task.message.queue == name and task not in moved]
        assert max(gone, default=0.0) <= min(left, default=now)
    places = {(name, id): place for name in queues for place, id in enumerate(machine.pending(name))}
    moved.sort(key=lambda task: (places.get((task.message.queue, task.message.id), 0), task.at))
    for name in queues:
        times = [task.at for task in moved if task.message.queue == name and not task.message.group]
        assert times == sorted(times), "not the earliest first"
    machine.model.forwarded(moved)
    left_at = [task.at for task in waiting if task.state in DELAYED]
    if answer.moved < limit:  # else not all queues were looked at
        assert answer.next_at == min(left_at, default=None)


@operation(weight=2, queues=several_queues, limit=limits, recover=st.booleans())
def expired(machine: Machine, queues: tuple[str, ...], limit: int, recover: bool) -> None:
    now = machine.clock.now()
    active = [task for name in queues for task in machine.model.in_state(name, S.ACTIVE)]
    overdue = {task.message.ref: task for task in active if task.at <= now}
    found = machine.run(machine.broker.expired(queues, limit))
    assert found.next_at == min((task.at for task in active if task.at > now), default=None)
    refs = [lease.message.ref for lease in found.leases]
    assert len(refs) == len(set(refs)) == min(limit, len(overdue))
    for lease in found.leases:
        task = overdue[lease.message.ref]
        assert (lease.message, lease.expires_at) == (task.message, task.at)
    some = [Held(lease, overdue[lease.message.ref].lease) for lease in found.leases]
    if not recover:
        machine.held += some
        return
    ends = [decide(h.lease, Failed(LeaseExpired()), now, Policy()) for h in some]
    for h, end in zip(some, ends, strict=True):
        assert machine.model.settle(h, end)
    assert machine.run(machine.broker.settle(ends)) == [True] * len(ends)


@operation(weight=2, needs="held")
def recover_from_a_dead_server(machine: Machine) -> None:
    advance_clock(machine, 30.0)
    expired(machine, QUEUES, 5, True)
    dequeue(machine, QUEUES, 5, 30.0, "two")


@operation(weight=2, queues=several_queues, limit=limits)
def sweep(machine: Machine, queues: tuple[str, ...], limit: int) -> None:
    now = machine.clock.now()
    completed = [task for name in queues for task in machine.model.stored(name, S.COMPLETED)]
    over = [task for task in completed if task.at <= now]
    answer = machine.run(machine.broker.sweep(queues, limit))
    assert answer.deleted == min(limit, len(over))
    if len(over) > limit:  # which of them are left cannot be seen, so sweep again
        answer = machine.run(machine.broker.sweep(queues, len(over)))
        assert answer.deleted == len(over) - limit
    for task in over:
        machine.model.remove(machine.model.queues[task.message.queue], task)
    machine.model.release(queues)
    next_at = [task.at for task in completed if task not in over]
    for name in queues:
        batches = machine.model.queues.get(name, Queue()).batches.values()
        next_at += [batch.expires_at for batch in batches]
    assert answer.next_at == min(next_at, default=None)
