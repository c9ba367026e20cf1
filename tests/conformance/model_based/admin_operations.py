"""Operator actions and scans."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound, WrongState
from tests.conformance.model_based.machine import Machine, operation, queue_names
from tests.conformance.model_based.records import S


@operation(weight=2, needs="known", action=st.sampled_from(Action))
def move(machine: Machine, data: st.DataObject, action: Action) -> None:
    refs = data.draw(st.lists(st.sampled_from(sorted(machine.known)), min_size=1, max_size=3), "tasks")
    assert machine.run(machine.broker.move(action, refs)) == [machine.model.move(action, ref) for ref in refs]


@operation(
    queue=queue_names,
    state=st.sampled_from(TaskState),
    group=st.sampled_from(["", "g"]),
    action=st.sampled_from(Action),
)
def move_all(machine: Machine, queue: str, state: TaskState, group: str, action: Action) -> None:
    where = Where(queue, state, group if state is S.AGGREGATING else "")
    if queue not in machine.model.queues:
        with pytest.raises(QueueNotFound):
            machine.run(machine.broker.move_all(action, where))
        return
    chosen = [
        task.message.ref
        for task in machine.model.in_state(queue, state)
        if not where.group or task.message.group == where.group
    ]
    moved = machine.run(machine.broker.move_all(action, where))
    assert moved == [machine.model.move(action, ref) for ref in chosen].count(Moved.DONE)
    if action is Action.RUN:  # their order in the queue is not specified
        model, pending = machine.model.queues[queue], machine.pending(queue)
        waited = len(model.pending) - moved
        assert pending[:waited] == model.pending[:waited]
        assert sorted(pending) == sorted(model.pending)
        model.pending = pending


@operation(
    weight=2, queue=queue_names, state=st.sampled_from(TaskState), group=st.sampled_from(["g", "h {x}"])
)
def start_scan(machine: Machine, queue: str, state: TaskState, group: str) -> None:
    if queue in machine.model.queues:
        machine.scans.append(
            machine.model.start_scan(Where(queue, state, group if state is S.AGGREGATING else ""))
        )


@operation(weight=4, needs="scans", size=st.integers(1, 2))
def scan_step(machine: Machine, data: st.DataObject, size: int) -> None:
    scan = data.draw(st.sampled_from(machine.scans), "scan")
    machine.model.scanned(scan, machine.run(machine.broker.scan(scan.where, scan.after, size)))
    if not scan.after:
        machine.scans.remove(scan)


@operation(weight=3, needs="known", target=queue_names)
def transfer(machine: Machine, data: st.DataObject, target: str) -> None:
    one = data.draw(st.sampled_from(sorted(machine.known)), "task")
    same = [ref for ref in sorted(machine.known) if ref.queue == one.queue]
    refs = data.draw(st.lists(st.sampled_from(same), max_size=3, unique=True), "more")
    expected = [machine.model.transfer(ref, target) for ref in refs]
    machine.known |= {TaskRef(target, ref.id) for ref in refs}
    assert machine.run(machine.broker.transfer(refs, target)) == expected


@operation(weight=2, needs="known")
def rewrite(machine: Machine, data: st.DataObject) -> None:
    refs = data.draw(st.lists(st.sampled_from(sorted(machine.known)), min_size=1, max_size=3, unique=True))
    payloads = {ref: data.draw(st.sampled_from([b"1", b"2", b"3"]), "payload") for ref in refs}
    expected = [machine.model.rewrite(ref, payload) for ref, payload in payloads.items()]
    assert machine.run(machine.broker.rewrite(payloads)) == expected


@operation(queue=queue_names, paused=st.booleans())
def pause(machine: Machine, queue: str, paused: bool) -> None:
    if queue not in machine.model.queues and not paused:
        return  # whether resuming creates a queue is not specified
    changed = machine.model.queue(queue).paused is not paused
    machine.model.queue(queue).paused = paused
    assert machine.run(machine.broker.pause(queue, paused)) is changed


@operation(queue=queue_names, type=st.sampled_from(["work", "play"]), paused=st.booleans())
def pause_type(machine: Machine, queue: str, type: str, paused: bool) -> None:
    if queue not in machine.model.queues and not paused:
        return
    types = machine.model.queue(queue).paused_types
    changed = (type in types) is not paused
    if paused:
        types.setdefault(type, machine.clock.now())
    else:
        types.pop(type, None)
    assert machine.run(machine.broker.pause_type(queue, type, paused)) is changed


@operation(queue=queue_names, force=st.booleans())
def remove_queue(machine: Machine, queue: str, force: bool) -> None:
    found = machine.model.queues.get(queue)
    if found is None or found.active or (found.tasks and not force):
        with pytest.raises(QueueNotFound if found is None else WrongState):
            machine.run(machine.broker.remove_queue(queue, force=force))
    else:
        machine.run(machine.broker.remove_queue(queue, force=force))
        del machine.model.queues[queue]
        machine.scans = [scan for scan in machine.scans if scan.where.queue != queue]
