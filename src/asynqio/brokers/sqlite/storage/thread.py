"""The thread that uses the file, so that no event loop ever waits for a disk or a lock.

Jobs that wait at the same time share one transaction, each in its own savepoint. Measured with 50 callers that
enqueue one task at a time (2 cores, busy): 12,000 instead of 3,500 tasks per second, and with synchronous=full,
where one fsync then serves them all, 5,000 instead of 350.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.connection import connect, retry_while_busy
from asynqio.brokers.sqlite.storage.errors import translate
from asynqio.brokers.sqlite.storage.job import Job
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.clock import Clock

#: Most jobs in one transaction: others wait for its end.
MAX_JOBS = 64


class Announcer(Protocol):
    """Publishes what a transaction did: `prepare` runs before the commit, its result after it."""

    def prepare(self, done: Sequence[Transaction]) -> Callable[[], None]: ...
    def close(self) -> None: ...


class DatabaseThread:
    """One connection, one thread, one queue of jobs. Without an announcer it only reads."""

    def __init__(self, settings: Settings, clock: Clock, announcer: Announcer | None) -> None:
        self._settings = settings
        self._clock = clock
        self._announcer = announcer
        self._begin = "BEGIN IMMEDIATE" if announcer else "BEGIN"
        self._max_jobs = MAX_JOBS if announcer else 1
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._ended: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="asynqio-sqlite", daemon=True)
        self._thread.start()

    def submit(self, job: Job[Any]) -> None:
        """Queue a job; jobs run in the order of submission. Callable from any thread."""
        self._jobs.put(job)

    def stop(self, ended: Callable[[], None]) -> None:
        """Finish the submitted jobs, close the connection, call `ended`."""
        self._ended = ended
        self._jobs.put(None)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            connection = connect(self._settings, reading=self._announcer is None)
        except Exception as error:
            self._refuse(error)
        else:
            try:
                self._work(connection)
            finally:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        if self._announcer:
            self._announcer.close()
        assert self._ended is not None
        self._ended()

    def _refuse(self, error: Exception) -> None:
        """Fail every job with the error that prevented opening the file."""
        while (job := self._jobs.get()) is not None:
            job.deliver(None, error)

    def _work(self, connection: sqlite3.Connection) -> None:
        running = True
        while running:
            batch: list[Job[Any]] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                if len(batch) >= self._max_jobs:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            else:
                running = False
            if batch:
                self._execute(connection, batch)

    def _execute(self, connection: sqlite3.Connection, batch: Sequence[Job[Any]]) -> None:
        try:
            retry_while_busy(lambda: connection.execute(self._begin), self._settings.busy_timeout)
        except sqlite3.Error as error:
            for job in batch:
                job.deliver(None, self._translated(error))
            return
        # Claimed only now that the file is locked: a caller cancelled from here on waits for milliseconds.
        batch = [job for job in batch if job.begin()]
        try:
            answers = self._transact(connection, batch)
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            for job in batch:
                if len(batch) > 1:
                    # Everything was rolled back: run each job alone, so that only the failing one fails.
                    self._execute(connection, [job])
                else:
                    job.deliver(None, self._translated(error))
            return
        for job, (result, failure) in zip(batch, answers, strict=True):
            job.deliver(result, failure)

    def _transact(
        self, connection: sqlite3.Connection, batch: Sequence[Job[Any]]
    ) -> list[tuple[Any, Exception | None]]:
        """Run the jobs and commit. Raises if nothing could be kept."""
        done: list[Transaction] = []
        answers: list[tuple[Any, Exception | None]] = []
        alone = len(batch) == 1
        for job in batch:
            transaction = Transaction(
                connection, self._clock.now(), self._settings.archive_limit, self._settings.archive_age
            )
            if alone:
                answers.append((job.step(transaction), None))
                done.append(transaction)
                continue
            connection.execute("SAVEPOINT job")
            try:
                answers.append((job.step(transaction), None))
                done.append(transaction)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # SQLite rolled back everything (a full disk), so every job is affected
                connection.execute("ROLLBACK TO job")
                answers.append((None, self._translated(error)))
            connection.execute("RELEASE job")
        announce = self._announcer.prepare(done) if self._announcer else None
        connection.execute("COMMIT")
        if announce:
            announce()
        return answers

    def _translated(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        translated = translate(error, self._settings.path)
        translated.__cause__ = error
        return translated
