"""One job's view of the database, and the notifications to send after the commit."""

from __future__ import annotations

import sqlite3
from typing import Any

from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.core.task.message import TaskMessage, TaskRef


class Transaction:
    """Runs statements at one point in time, `now`."""

    __slots__ = ("archive_age", "archive_limit", "changed", "connection", "ended", "now", "topics")

    def __init__(
        self,
        connection: sqlite3.Connection,
        now: float,
        archive_limit: int = ARCHIVE_LIMIT,
        archive_age: float = ARCHIVE_AGE,
    ) -> None:
        self.connection = connection
        self.now = now
        self.archive_limit, self.archive_age = archive_limit, archive_age
        #: Topics to publish. A topic of one word stands for all topics of that kind.
        self.topics: set[Topic] = set()
        #: Tasks that ended; turned into topics only if a watch waits for such.
        self.ended: list[TaskRef] = []
        #: Tasks that changed in any other way; turned into topics only if a watch follows one.
        self.changed: list[TaskRef | TaskMessage] = []

    def run(self, statement: str, **values: Any) -> sqlite3.Cursor:
        return self.connection.execute(statement, values)

    def all(self, statement: str, **values: Any) -> list[Any]:
        return self.connection.execute(statement, values).fetchall()

    def one(self, statement: str, **values: Any) -> Any:
        """The first row, or None."""
        return self.connection.execute(statement, values).fetchone()

    def value(self, statement: str, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def numbers(self, count: int) -> range:
        """`count` fresh numbers, higher than all before."""
        last: int = self.connection.execute(SQL.next_numbers, {"count": count}).fetchall()[0][0]
        return range(last - count + 1, last + 1)
