"""Walking through the tasks of a state, whatever happens to them meanwhile. Nothing here writes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from asynqio.brokers.contract.cursors import encode_place, read_place
from asynqio.brokers.contract.inspection import Scan, Where
from asynqio.brokers.sqlite.admin.stats import existing
from asynqio.brokers.sqlite.storage.rows import info
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskState


class Place(NamedTuple):
    """The last two columns of the rows, which a task keeps as long as it stays in its state."""

    first: float
    second: int


_BEGINNING, _END = Place(-math.inf, 0), Place(math.inf, 0)


def scan(transaction: Transaction, where: Where, after: str, size: int) -> Scan:
    """See Inspection.scan."""
    existing(transaction, where.queue)
    place = read_place(Place, after)
    query, place = _query(where.state), place or (_END if _newest_first(where.state) else _BEGINNING)
    bounds: dict[str, Any] = {"queue": where.queue, "size": size, **place._asdict()}
    match where.state:
        case TaskState.AGGREGATING:
            if not where.group:
                raise ValueError("one group at a time is scanned: name it")
            bounds["group"] = where.group
        case TaskState.ACTIVE:
            pass
        case _:
            bounds["state"] = where.state
    rows = transaction.all(query, **bounds)
    last = encode_place(rows[-1][-2:]).decode() if len(rows) == size else ""
    return Scan([info(row[:-2], transaction.now) for row in rows], last)


def group_names(transaction: Transaction, queue: str) -> list[str]:
    """See Inspection.group_names."""
    existing(transaction, queue)
    return [name for (name,) in transaction.all(SQL.all_group_names, queue=queue)]


def _newest_first(state: TaskState) -> bool:
    return state in (TaskState.ARCHIVED, TaskState.COMPLETED)


def _query(state: TaskState) -> str:
    match state:
        case TaskState.ACTIVE:
            return SQL.scan_active
        case TaskState.AGGREGATING:
            return SQL.scan_grouped
    return SQL.scan_latest if _newest_first(state) else SQL.scan_earliest
