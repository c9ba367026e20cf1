"""Enqueueing from threads: each waits for the writer itself, without an event loop between them."""

from __future__ import annotations

from functools import partial

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.sqlite.operations.enqueue import enqueue
from asynqio.brokers.sqlite.session import Session
from asynqio.core.task.task import Entry


class SqliteProducer:
    """A `Producer` of a SQLite broker. The writer puts the entries of waiting threads into one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def enqueue(self, entry: Entry) -> Admission | Replaced:
        """See Producer.enqueue."""
        step = partial(enqueue, entries=[entry], settings=self._session.settings)
        [answer] = self._session.write_blocking(step)
        return answer

    def close(self) -> None:
        """See Producer.close."""
