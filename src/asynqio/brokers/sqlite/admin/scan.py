"""Scan the tasks of a state step by step, while other processes change them. Only reads."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from asynqio.brokers.contract.cursors import decode_cursor, encode_cursor
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.sqlite.storage.queues import existing
from asynqio.brokers.sqlite.storage.rows import info, outlived_at
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState


class Position(NamedTuple):
    """The last two columns of a row, which do not change while the task stays in its state."""

    first: float
    second: int


_START, _END = Position(-math.inf, 0), Position(math.inf, 0)


def scan(transaction: Transaction, where: Where, after: str, size: int) -> Scan:
    """See Inspection.scan."""
    existing(transaction, where.queue)
    position = decode_cursor(Position, after) or (_END if _newest_first(where.state) else _START)
    bounds: dict[str, Any] = {"queue": where.queue, "size": size, **position._asdict()}
    match where.state:
        case TaskState.AGGREGATING:
            if not where.group:
                raise ValueError("aggregating tasks are scanned one group at a time: name it with group=")
            bounds["group"] = where.group
        case TaskState.ACTIVE:
            pass
        case _:
            bounds["state"] = where.state
            if _newest_first(where.state):
                bounds["after"] = outlived_at(transaction, where.state)
    rows = transaction.all(_statement(where.state), **bounds)
    last = encode_cursor(rows[-1][-2:]).decode() if len(rows) == size else ""
    return Scan([info(row[:-2], transaction.now) for row in rows], last)


def _newest_first(state: TaskState) -> bool:
    return state in (TaskState.ARCHIVED, TaskState.COMPLETED)


def _statement(state: TaskState) -> str:
    match state:
        case TaskState.ACTIVE:
            return SQL.scan_active
        case TaskState.AGGREGATING:
            return SQL.scan_grouped
    return SQL.scan_latest if _newest_first(state) else SQL.scan_earliest
