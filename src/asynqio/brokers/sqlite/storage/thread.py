"""The thread that uses the file, so that no event loop ever waits for a disk or a lock.

Jobs that wait at the same time share one transaction, each in its own savepoint. Measured with 50 callers that
enqueue one task at a time (2 cores, busy): 12,000 instead of 3,500 tasks per second, and with synchronous=full,
where one fsync then serves them all, 5,000 instead of 350.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.connection import connect, retry_while_busy
from asynqio.brokers.sqlite.storage.errors import translate
from asynqio.brokers.sqlite.storage.files_at_fork import FILES_AT_FORK
from asynqio.brokers.sqlite.storage.job import Job
from asynqio.brokers.sqlite.storage.open_files import OpenFiles
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.clock import Clock
from asynqio.errors import StoreReplaced

log = logging.getLogger("asynqio.sqlite")

#: Most jobs in one transaction: others wait for its end.
MAX_JOBS = 64


class Announcer(Protocol):
    """Publishes what a transaction did: `prepare` runs before the commit, its result after it."""

    def prepare(self, done: Sequence[Transaction]) -> Callable[[], None]: ...
    def wake_all(self) -> None: ...
    def close(self) -> None: ...


class DatabaseThread:
    """One connection, one thread, one queue of jobs. Without an announcer it only reads, from the files that `writer`
    has open."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        announcer: Announcer | None,
        writer: DatabaseThread | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._announcer = announcer
        self._begin = "BEGIN IMMEDIATE" if announcer else "BEGIN"
        self._max_jobs = MAX_JOBS if announcer else 1
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._ended: Callable[[], None] | None = None
        self._writer = writer
        self._files: OpenFiles | None = None
        #: Why the file is no longer used.
        self._replaced: StoreReplaced | None = None
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
            file = FILES_AT_FORK.add(self._settings.path)
            try:
                stopped = self._work(connection, self._opened())
            finally:
                # If the file was moved, SQLite neither checkpoints it nor deletes the log of its successor.
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
                FILES_AT_FORK.remove(file)
            if not stopped and self._replaced is not None:
                self._refuse(self._replaced)
        if self._announcer:
            self._announcer.close()
        assert self._ended is not None
        self._ended()

    def _refuse(self, error: Exception) -> None:
        """Fail every job with the error that prevented opening the file, or ended its use."""
        while (job := self._jobs.get()) is not None:
            self._fail(job, error)

    def _opened(self) -> OpenFiles:
        """The files of the connection. Those of a reader must be those of its writer."""
        files = self._writer._files if self._writer else None
        if files is None:
            files = OpenFiles(self._settings.path, self._clock)
        else:
            try:
                files.verify()
            except StoreReplaced as replaced:
                self._report(replaced)
        self._files = files
        return files

    def _work(self, connection: sqlite3.Connection, files: OpenFiles) -> bool:
        """Run jobs until `stop`; False: until the file was removed or replaced."""
        running = True
        while running:
            if self._replaced is not None:
                return False
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
                self._execute(connection, files, batch)
        return True

    def _execute(self, connection: sqlite3.Connection, files: OpenFiles, batch: Sequence[Job[Any]]) -> None:
        try:
            retry_while_busy(lambda: connection.execute(self._begin), self._settings.busy_timeout)
            files.check()
        except (sqlite3.Error, StoreReplaced) as error:
            _roll_back(connection)
            if isinstance(error, StoreReplaced):
                self._report(error)
            for job in batch:
                self._fail(job, error)
            return
        # Claimed only now that the file is locked: a caller cancelled from here on waits for milliseconds.
        batch = [job for job in batch if job.begin()]
        try:
            answers = self._transact(connection, batch)
        except Exception as error:
            _roll_back(connection)
            for job in batch:
                if len(batch) > 1:
                    # Everything was rolled back: run each job alone, so that only the failing one fails.
                    self._execute(connection, files, [job])
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
                try:
                    connection.execute("ROLLBACK TO job")
                except sqlite3.Error:
                    raise error from None  # the cause, not what it made impossible
                answers.append((None, self._translated(error)))
            connection.execute("RELEASE job")
        announce = self._announcer.prepare(done) if self._announcer else None
        connection.execute("COMMIT")
        if announce:
            announce()
        return answers

    def _report(self, replaced: StoreReplaced) -> None:
        """Log it once, and wake every watch: its owner asks again and gets the error."""
        first, self._replaced = self._replaced is None, replaced
        if first and self._announcer is not None:  # else the writer of this process reports it
            path = self._settings.path
            log.error("%s", replaced, extra={"event": "store_replaced", "path": path, "error": str(replaced)})
            self._announcer.wake_all()

    def _fail(self, job: Job[Any], error: Exception) -> None:
        """Deliver an error of the file, unless the caller is gone."""
        if job.begin():
            job.deliver(None, self._translated(error))

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, StoreReplaced):
            return StoreReplaced(*error.args)  # each caller adds its traceback to its own
        if not isinstance(error, sqlite3.Error):
            return error
        translated = translate(error, self._settings.path)
        translated.__cause__ = error
        return translated


def _roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction, if SQLite has not: after a failed read or write of the file it has."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
