"""Walking through the tasks of a state, whatever happens to them meanwhile."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeAlias

from asynqio.brokers.contract.cursors import encode_place, read_place
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.memory.storage.queue import Queue, Record
from asynqio.core.task.message import TaskState


class ByNumber(NamedTuple):
    """A place: what a task has and keeps as long as it stays in its state, in the order in which tasks are shown."""

    at: float
    number: int


class ById(NamedTuple):
    """A place in a group. A batch that is given back counts as a new arrival: only its time and its id stay."""

    at: float
    id: str


Place: TypeAlias = ByNumber | ById


def scan(queue: Queue, where: Where, after: str, size: int, now: float) -> Scan:
    """See Inspection.scan."""
    state = where.state
    if state is TaskState.AGGREGATING and not where.group:
        raise ValueError("one group at a time is scanned: name it")
    last: Place | None
    last = read_place(ById, after) if state is TaskState.AGGREGATING else read_place(ByNumber, after)
    newest_first = state in (TaskState.ARCHIVED, TaskState.COMPLETED)
    ahead = (
        record
        for record in _all(queue, where)
        if last is None or (_place(record) < last if newest_first else _place(record) > last)
    )
    if state in (TaskState.PENDING, TaskState.ACTIVE):  # in order already
        some = list(islice(ahead, size))
    else:
        some = (heapq.nlargest if newest_first else heapq.nsmallest)(size, ahead, key=_place)
    place = encode_place(_place(some[-1])).decode() if len(some) == size else ""
    return Scan([queue.info(record, now) for record in some], place)


def _all(queue: Queue, where: Where) -> Iterator[Record]:
    if where.state is TaskState.PENDING:
        return iter(queue.pending.values())
    if where.state is TaskState.ACTIVE:
        return iter(queue.active.values())
    return (
        record
        for record in queue.records.values()
        if record.state is where.state
        and (where.state is not TaskState.AGGREGATING or record.message.group == where.group)
    )


def _place(record: Record) -> Place:
    if record.state is TaskState.PENDING:
        return ByNumber(0.0, record.number)
    if record.state is TaskState.ACTIVE:
        return ByNumber(float(record.token), record.number)
    if record.state is TaskState.AGGREGATING:
        return ById(record.at, record.message.id)
    return ByNumber(record.at, record.number)
