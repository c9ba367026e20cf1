"""Compares everything that a broker shows with the model."""

from __future__ import annotations

import asyncio

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique import LockHolder, unique_key
from tests.builders import entry
from tests.conformance.model_based.machine import ALL, PAYLOADS, QUEUES, Machine
from tests.conformance.model_based.model import DAY
from tests.conformance.model_based.records import DELAYED, Queue, S

LOCKABLE = (*PAYLOADS, b"3")


async def compare(machine: Machine) -> None:
    """Assert that every answer of the broker is that of the model."""
    queues = (compare_queue(machine, name, queue) for name, queue in machine.model.queues.items())
    await asyncio.gather(compare_tasks(machine), compare_servers(machine), *queues)


async def compare_tasks(machine: Machine) -> None:
    refs = sorted(machine.known)
    tasks = [machine.model.task(ref) for ref in refs]
    assert await machine.broker.find(refs) == [task and machine.model.info(task) for task in tasks]
    assert await machine.broker.attempts(refs) == [machine.model.attempts(ref) for ref in refs]
    assert await machine.broker.queues() == sorted(machine.model.queues)
    paused = {name: queue.paused_types for name, queue in machine.model.queues.items() if queue.paused_types}
    assert await machine.broker.paused_types(QUEUES) == paused


async def compare_queue(machine: Machine, name: str, queue: Queue) -> None:
    (all_stats, history, groups, answers), lists = await asyncio.gather(
        asyncio.gather(
            machine.broker.stats([name]),
            machine.broker.history(name, 3),
            machine.broker.groups(name),
            try_locks(machine, name, queue),
        ),
        asyncio.gather(*(machine.broker.tasks(Where(name, state), ALL) for state in TaskState)),
    )
    [stats] = all_stats
    for state, infos in zip(TaskState, lists, strict=True):
        shown = [info.id for info in infos]
        assert getattr(stats, state.value) == len(machine.model.stored(name, state))
        compare_order(machine, name, queue, state, shown)
    now = machine.clock.now()
    today = int(now // DAY)
    assert (stats.queue, stats.paused) == (name, queue.paused)
    assert [stats.processed, stats.failed] == queue.days[today]
    totals = [sum(days) for days in zip(*queue.days.values(), strict=True)]
    assert [stats.processed_total, stats.failed_total] == totals
    assert [[day.processed, day.failed] for day in history] == [queue.days[today - n] for n in range(3)]
    since = [queue.tasks[id].pending_since for id in queue.pending]
    assert stats.oldest_pending_at == min(since, default=0.0)
    assert stats.latency == (now - min(since) if since else 0.0)
    overdue = [task.at for task in machine.model.in_state(name, *DELAYED) if task.at <= now]
    assert stats.overdue_since == min(overdue, default=0.0)
    assert not stats.estimated
    assert {g.group: (g.size, g.oldest_at, g.newest_at, g.failure) for g in groups} == {
        group: (len(members), members[0].at, members[-1].at, queue.failures.get(group))
        for group, members in machine.model.groups(name).items()
    }
    assert stats.groups == len(groups)
    locks = [machine.model.locked(queue, unique_key(name, "work", payload)) for payload in LOCKABLE]
    expected = [Admission.DUPLICATE if held else Admission.ID_CONFLICT for held in locks]
    assert answers == (expected if any_task(machine, queue) else [])
    assert await machine.broker.schedule_states(name) == queue.schedules
    for payload, is_held in zip(LOCKABLE, locks, strict=True):
        key = unique_key(name, "work", payload)
        holder = LockHolder(*queue.locks[key]) if is_held else None
        assert await machine.broker.lock_holder(name, key) == holder


async def try_locks(machine: Machine, name: str, queue: Queue) -> list[Admission | Replaced]:
    """Enqueue with an id that exists: a held lock answers DUPLICATE, a free one ID_CONFLICT."""
    taken = any_task(machine, queue)
    if not taken:
        return []
    probes = [entry(taken, type="work", queue=name, payload=payload, unique=1e9) for payload in LOCKABLE]
    return await machine.broker.enqueue(probes)


def any_task(machine: Machine, queue: Queue) -> str:
    """The id of a task that does not count as deleted; empty: there is none."""
    return next((id for id, task in queue.tasks.items() if not machine.model.outlived(task)), "")


def compare_order(machine: Machine, name: str, queue: Queue, state: TaskState, shown: list[str]) -> None:
    if state is S.PENDING:
        assert shown == queue.pending
    elif state is S.ACTIVE:
        assert shown == queue.active
    else:
        assert sorted(shown) == sorted(task.message.id for task in machine.model.in_state(name, state))
        times = [queue.tasks[id].at for id in shown]
        assert times == sorted(times, reverse=state in (S.COMPLETED, S.ARCHIVED))


async def compare_servers(machine: Machine) -> None:
    alive = {one.id: one for one, until in machine.servers.values() if until > machine.clock.now()}
    assert {one.id: one for one in await machine.broker.servers()} == alive
    serving = {one.id: one for one, until in machine.schedulers.values() if until > machine.clock.now()}
    assert {one.id: one for one in await machine.broker.schedulers()} == serving
