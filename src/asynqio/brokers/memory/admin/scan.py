"""Scan the tasks of a state step by step, while other callers change them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeAlias

from asynqio.brokers.contract.cursors import decode_cursor, encode_cursor
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.record import Record
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.task.message import TaskState


class ByNumber(NamedTuple):
    """A position by values that do not change while the task stays in its state, in the order of the listing."""

    at: float
    number: int


class ById(NamedTuple):
    """A position in a group. A released batch counts as a new arrival: only its time and its ids stay."""

    at: float
    id: str


Position: TypeAlias = ByNumber | ById


def scan(store: MemoryStore, now: float, where: Where, after: str, size: int) -> Scan:
    """See Inspection.scan."""
    with store.lock:
        return _scan(store.existing(where.queue), now, where, after, size)


def _scan(queue: Queue, now: float, where: Where, after: str, size: int) -> Scan:
    state = where.state
    if state is TaskState.AGGREGATING and not where.group:
        raise ValueError("aggregating tasks are scanned one group at a time: name it with group=")
    last: Position | None
    last = decode_cursor(ById, after) if state is TaskState.AGGREGATING else decode_cursor(ByNumber, after)
    newest_first = state in (TaskState.ARCHIVED, TaskState.COMPLETED)
    ahead = (
        record
        for record in _all(queue, now, where)
        if last is None or (_position(record) < last if newest_first else _position(record) > last)
    )
    if state in (TaskState.PENDING, TaskState.ACTIVE):  # stored in order
        some = list(islice(ahead, size))
    else:
        some = (heapq.nlargest if newest_first else heapq.nsmallest)(size, ahead, key=_position)
    cursor = encode_cursor(_position(some[-1])).decode() if len(some) == size else ""
    return Scan([queue.info(record, now) for record in some], cursor)


def _all(queue: Queue, now: float, where: Where) -> Iterator[Record]:
    if where.state is TaskState.PENDING:
        return iter(queue.pending.values())
    if where.state is TaskState.ACTIVE:
        return iter(queue.active.values())
    return (
        record
        for record in queue.records.values()
        if record.state is where.state
        and (where.state is not TaskState.AGGREGATING or record.message.group == where.group)
        and not queue.outlived(record, now)
    )


def _position(record: Record) -> Position:
    if record.state is TaskState.PENDING:
        return ByNumber(0.0, record.number)
    if record.state is TaskState.ACTIVE:
        return ByNumber(float(record.token), record.number)
    if record.state is TaskState.AGGREGATING:
        return ById(record.at, record.message.id)
    return ByNumber(record.at, record.number)
