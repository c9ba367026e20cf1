"""Opens the file: checks its owner and version, sets the PRAGMAs, runs the migrations.

The checks come before any change: a database of another program stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.errors import is_busy, translate_opening, unwritable
from asynqio.brokers.sqlite.storage.files_at_fork import FILES_AT_FORK
from asynqio.brokers.sqlite.storage.statements import migrations
from asynqio.errors import ConfigError, VersionMismatch

T = TypeVar("T")

#: Marks a file as asynqio's ("asnq"), so that the database of another program is never changed.
APPLICATION_ID = 0x61736E71

#: Seconds between two attempts to get the write lock: first and longest pause. SQLite's busy handler pauses for up
#: to 100 ms, during which other processes take the lock.
FIRST_PAUSE, LONGEST_PAUSE = 0.0002, 0.005


def connect(settings: Settings, *, reading: bool = False) -> sqlite3.Connection:
    """A connection to the file, migrated to the newest version.

    A writer waits for the lock with `retry_while_busy`; a reader waits only during recovery after a crash, with
    SQLite's busy handler. Raises ConfigError, VersionMismatch, StorageFull, BrokerUnavailable, WrongProcess,
    BrokerError.
    """
    FILES_AT_FORK.check(settings.path)
    directory = os.path.dirname(settings.path)
    if not os.path.isdir(directory):
        raise ConfigError([f"{settings.path}: there is no directory {directory}; create it, or fix the URL"])
    if os.path.exists(settings.path) and not os.access(settings.path, os.W_OK):
        # SQLite would open it read-only, and only the first write would fail.
        raise unwritable(settings.path)
    try:
        connection = sqlite3.connect(
            settings.path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            retry_while_busy(lambda: _prepare(connection, settings), settings.busy_timeout)
            if reading:
                connection.execute(f"PRAGMA busy_timeout = {int(settings.busy_timeout * 1000)}")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise translate_opening(error, settings.path) from error
    return connection


def retry_while_busy(step: Callable[[], T], seconds: float) -> T:
    """Run a step that needs the write lock; retry it for up to `seconds` while another process holds the lock."""
    waited, pause = 0.0, FIRST_PAUSE
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or waited >= seconds:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
        waited += pause
        pause = min(1.5 * pause, LONGEST_PAUSE)


def _prepare(connection: sqlite3.Connection, settings: Settings) -> None:
    _check(connection, settings.path)
    _tune(connection, settings)
    _migrate(connection, settings.path)


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


@contextlib.contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """A read transaction: everything read inside it belongs to one state of the file."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # a failed read has ended it
            connection.execute("ROLLBACK")


def _check(connection: sqlite3.Connection, path: str) -> int:
    """The version of the database; 0 for a new file. Raises VersionMismatch."""
    # In one transaction: another process may be creating the tables right now.
    with contextlib.nullcontext() if connection.in_transaction else _snapshot(connection):
        owner = _number(connection, "PRAGMA application_id")
        version = _number(connection, "PRAGMA user_version")
        tables = _number(connection, "SELECT count(*) FROM sqlite_master")
    if owner != APPLICATION_ID:
        if owner or version or tables:
            raise VersionMismatch(f"{path} is the database of another program: name another file")
        return 0
    newest = max(migrations())
    if version > newest:
        raise VersionMismatch(
            f"{path} was written by a newer asynqio (schema version {version}, this one supports {newest}): "
            "upgrade asynqio here, or name another file"
        )
    return version


def _tune(connection: sqlite3.Connection, settings: Settings) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16000")
    # Some distributions overwrite deleted rows with zeros, which is expensive for a queue: it deletes every row.
    connection.execute("PRAGMA secure_delete = OFF")
    # Fewer, larger checkpoints: the same pages are written once instead of many times (in pages of 4 KiB;
    # measured: draining at 50 slots 1.5 times as fast as with SQLite's 1,000).
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # Size in bytes to which the write-ahead log is truncated after a burst.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    if settings.max_bytes:
        pages = settings.max_bytes // _number(connection, "PRAGMA page_size")
        connection.execute(f"PRAGMA max_page_count = {pages}")


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Run the missing migrations: each once, even if several processes open the file at the same time."""
    newest = max(migrations())
    if _check(connection, path) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _check(connection, path)
        for version in sorted(number for number in migrations() if number > before):
            for statement in migrations()[version]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
