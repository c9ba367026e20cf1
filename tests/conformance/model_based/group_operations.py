"""Operations on groups, schedules and servers."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from asynqio.core.groups import GroupPolicy, GroupRule, GroupRules, failed_again
from asynqio.core.info import SchedulerInfo
from asynqio.core.schedules.firing import Fire, FireEvent
from asynqio.core.task.message import TaskRef
from asynqio.errors import QueueNotFound
from tests.builders import server_info
from tests.conformance.model_based.machine import (
    ALL,
    Machine,
    limits,
    operation,
    queue_names,
    several_queues,
    some_ids,
    spans,
)

schedule_ids = st.sampled_from(["hourly", "daily {x}", "last:"])
group_rules = st.builds(
    GroupRule,
    grace=st.sampled_from([0.0, 5.0, 30.0]),
    max_delay=st.sampled_from([0.0, 30.0]),
    max_size=st.sampled_from([0, 1, 2]),
)
group_policies: st.SearchStrategy[GroupPolicy] = group_rules | st.dictionaries(
    st.sampled_from(["", "g", "h", "h {x}"]), group_rules
).flatmap(lambda rules: st.builds(GroupRules, st.just(rules), st.booleans()))
NEVER = GroupRule(grace=1e9)


@operation(weight=2, queues=several_queues, limit=limits, policy=group_policies)
def claim_groups(machine: Machine, queues: tuple[str, ...], limit: int, policy: GroupPolicy) -> None:
    answer = machine.run(machine.broker.claim_groups(queues, policy, limit))
    machine.model.claimed(queues, policy, limit, answer)
    machine.batches += answer.batches


@operation(queue=queue_names, group=st.sampled_from(["g", "h {x}"]))
def flush_group(machine: Machine, queue: str, group: str) -> None:
    """Flush a group and claim it at once: how long a group stays flushed is not specified."""
    if queue not in machine.model.queues:
        with pytest.raises(QueueNotFound):
            machine.run(machine.broker.flush_group(queue, group))
        return
    members = machine.model.groups(queue).get(group, [])
    assert machine.run(machine.broker.flush_group(queue, group)) == len(members)
    answer = machine.run(machine.broker.claim_groups([queue], NEVER, 100))
    assert [(batch.group, len(batch.messages)) for batch in answer.batches] == (
        [(group, len(members))] if members else []
    )
    machine.model.claimed([queue], NEVER, 100, answer, flushed=group)
    machine.batches += answer.batches


@operation(weight=5, needs="batches")
def merge_group(machine: Machine, data: st.DataObject) -> None:
    batch = data.draw(st.sampled_from(machine.batches), "batch")
    merged = machine.draw_entry(data, batch.queue)
    members = {message.id for message in batch.messages}
    keys = {message.unique_key for message in batch.messages}
    if merged.message.id in members or (merged.unique_ttl and merged.lock in keys):
        return  # a merged task that conflicts with its own members is not specified
    machine.known.add(merged.message.ref)
    assert machine.run(machine.broker.merge_group(batch, merged)) == machine.model.merge(batch, merged)


@operation(weight=2, needs="batches")
def delete_batch(machine: Machine, data: st.DataObject) -> None:
    batch = data.draw(st.sampled_from(machine.batches), "batch")
    assert machine.run(machine.broker.delete_batch(batch)) == machine.model.delete_batch(batch)


@operation(weight=2, needs="batches", lease=st.sampled_from([0.0, 60.0, 600.0]))
def renew_batches(machine: Machine, data: st.DataObject, lease: float) -> None:
    some = data.draw(st.lists(st.sampled_from(machine.batches), min_size=1, max_size=3), "batches")
    answers = machine.run(machine.broker.renew_batches(some, lease))
    assert answers == [machine.model.renew_batch(batch, lease) for batch in some]


@operation(weight=3, needs="batches", failed=st.booleans(), archive=st.booleans())
def return_batch(machine: Machine, data: st.DataObject, failed: bool, archive: bool) -> None:
    batch = data.draw(st.sampled_from(machine.batches), "batch")
    now = machine.clock.now()
    failure = failed_again(batch.failure, "broken", now, batch.oldest_at) if failed else None
    answer = machine.run(machine.broker.return_batch(batch, failure, archive=archive))
    assert answer == machine.model.return_batch(batch, failure, archive)


# --- schedules ------------------------------------------------------------------------------------


@operation(weight=4, count=st.integers(1, 4))
def fire(machine: Machine, data: st.DataObject, count: int) -> None:
    fires = []
    for _ in range(count):
        late = data.draw(st.sampled_from([0.0, 0.0, 1.0, 60.0, -3600.0]), "how late")
        one = machine.draw_entry(data, data.draw(queue_names, "queue"))
        fires.append(Fire(data.draw(schedule_ids, "schedule"), machine.clock.now() // 1 - late, one))
    machine.known |= {one.entry.message.ref for one in fires}
    assert machine.run(machine.broker.fire(fires)) == [machine.model.fire(one) for one in fires]


@operation(queue=queue_names, ids=st.lists(schedule_ids, max_size=3))
def register_schedules(machine: Machine, queue: str, ids: list[str]) -> None:
    answers = machine.run(machine.broker.register_schedules(queue, ids))
    machine.model.queue(queue)
    assert answers == [machine.model.register_schedules(queue, id) for id in ids]


@operation(weight=2, queue=queue_names, id=schedule_ids, paused=st.booleans())
def pause_schedule(machine: Machine, queue: str, id: str, paused: bool) -> None:
    assert machine.run(machine.broker.pause_schedule(queue, id, paused)) is machine.model.pause_schedule(
        queue, id, paused
    )


@operation(
    queue=queue_names,
    ids=st.lists(schedule_ids, max_size=3, unique=True),
    ago=st.sampled_from([0.0, 60.0, -1e9]),
)
def prune_schedules(machine: Machine, queue: str, ids: list[str], ago: float) -> None:
    before = machine.clock.now() - ago
    assert machine.run(machine.broker.prune_schedules(queue, ids, before)) == machine.model.prune_schedules(
        queue, ids, before
    )


@operation(id=schedule_ids, count=st.integers(0, 3))
def record(machine: Machine, id: str, count: int) -> None:
    events = [FireEvent(id, f"fresh-{next(machine.fresh):06}", machine.clock.now()) for _ in range(count)]
    machine.run(machine.broker.record(events))
    machine.model.fires[id] += events
    assert machine.run(machine.broker.fires(id, ALL)) == machine.model.fires[id][::-1]


@operation(id=st.sampled_from(["h:1:one", "h:1:two"]), ttl=spans, alive=st.booleans())
def scheduler_beats_or_leaves(machine: Machine, id: str, ttl: float, alive: bool) -> None:
    one = SchedulerInfo(id, "h", 1, machine.clock.now())
    if alive:
        machine.run(machine.broker.beat(one, ttl))
        machine.schedulers[id] = (one, machine.clock.now() + ttl)
    else:
        machine.run(machine.broker.leave(one))
        machine.schedulers.pop(id, None)


# --- servers --------------------------------------------------------------------------------------


@operation(id=st.sampled_from(["one", "two"]), processed=st.integers(0, 9), ttl=spans)
def beat(machine: Machine, id: str, processed: int, ttl: float) -> None:
    one = server_info(id, processed=processed)
    machine.run(machine.broker.beat(one, ttl))
    machine.servers[id] = (one, machine.clock.now() + ttl)


@operation(id=st.sampled_from(["one", "two", "three"]))
def leave(machine: Machine, id: str) -> None:
    machine.run(machine.broker.leave(server_info(id)))
    machine.servers.pop(id, None)


@operation(queue=queue_names, id=some_ids, archive=st.booleans())
def cancel(machine: Machine, queue: str, id: str, archive: bool) -> None:
    machine.run(machine.broker.cancel([TaskRef(queue, id)], archive=archive))
