"""Schedules: their states, the ticks taken, and their events."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Fired
from asynqio.brokers.sqlite.operations.enqueue import admit, keep_reserve, tally
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.statements import SQL, json_list
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState

#: Schedules whose events are deleted by one transaction: each has up to FIRES_KEPT.
HISTORIES = 5


def register_schedules(transaction: Transaction, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
    """See Broker.register_schedules."""
    transaction.run(SQL.ensure_queue, queue=queue)
    for id in ids:
        transaction.run(SQL.register_schedule, queue=queue, id=id, now=transaction.now)
    return [_state(transaction.one(SQL.schedule_state, queue=queue, id=id)) for id in ids]


def fire(transaction: Transaction, fires: Sequence[Fire], settings: Settings) -> list[Fired]:
    """See Broker.fire."""
    for queue in {one.entry.message.queue for one in fires}:
        transaction.run(SQL.ensure_queue, queue=queue)
    numbers = transaction.numbers(len(fires))
    answers = [_fire(transaction, one, number) for one, number in zip(fires, numbers, strict=True)]
    tally(transaction, (one.entry for one in fires), (answer.admission for answer in answers))
    keep_reserve(transaction, settings)
    return answers


def _fire(transaction: Transaction, one: Fire, number: int) -> Fired:
    queue, id = one.entry.message.queue, one.schedule_id
    taken = transaction.run(SQL.take_tick, queue=queue, id=id, tick=one.tick, now=transaction.now)
    if taken.rowcount:
        return Fired(admit(transaction, one.entry, number))
    return Fired(None, paused=bool(transaction.one(SQL.schedule_state, queue=queue, id=id)[1]))


def record(transaction: Transaction, events: Sequence[FireEvent]) -> None:
    """See Broker.record."""
    for event, seq in zip(events, transaction.numbers(len(events)), strict=True):
        transaction.run(SQL.insert_fire, schedule=event.schedule_id, seq=seq, task=event.task_id, at=event.at)
    for schedule in {event.schedule_id for event in events}:
        transaction.run(SQL.trim_fires, schedule=schedule, kept=FIRES_KEPT)


def prune_schedules(transaction: Transaction, queue: str, ids: Sequence[str], before: float) -> int:
    """See Broker.prune_schedules."""
    return sum(transaction.run(SQL.prune_schedule, queue=queue, id=id, before=before).rowcount for id in ids)


def silent_schedules(transaction: Transaction) -> list[str]:
    """The schedules whose events are all older than FIRES_AGE. Only reads, one event of each schedule."""
    return [id for (id,) in transaction.all(SQL.silent_schedules, old=transaction.now - FIRES_AGE)]


def purge_fires(transaction: Transaction, schedules: Sequence[str]) -> None:
    """Delete the events of schedules whose newest event is still older than FIRES_AGE."""
    old = transaction.now - FIRES_AGE
    transaction.run(SQL.purge_fires, schedules=json_list(schedules), old=old)


# --- inspection -----------------------------------------------------------------------------------


def schedule_states(transaction: Transaction, queue: str) -> dict[str, ScheduleState]:
    """See Inspection.schedule_states."""
    return {id: _state(row) for id, *row in transaction.all(SQL.schedule_states, queue=queue)}


def _state(row: Sequence[float | None]) -> ScheduleState:
    last, paused, since, met_at = row
    return ScheduleState(last, bool(paused), since or 0.0, met_at or 0.0)


def pause_schedule(transaction: Transaction, queue: str, id: str, paused: bool) -> bool:
    """See Inspection.pause_schedule."""
    if paused:
        transaction.run(SQL.ensure_queue, queue=queue)
        statement = SQL.pause_schedule
    else:
        statement = SQL.resume_schedule
    return bool(transaction.run(statement, queue=queue, id=id, now=transaction.now).rowcount)


def fires(transaction: Transaction, schedule_id: str, page: Page) -> list[FireEvent]:
    """See Inspection.fires."""
    newest = transaction.value(SQL.newest_fire, schedule=schedule_id)
    if newest is None or newest <= transaction.now - FIRES_AGE:
        return []
    rows = transaction.all(SQL.fires, schedule=schedule_id, size=page.size, offset=page.offset)
    return [FireEvent(schedule_id, task, at) for task, at in rows]
