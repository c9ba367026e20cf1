"""Translates SQLite's errors into this library's: no driver exception reaches a caller."""

from __future__ import annotations

import os
import shutil
import sqlite3

from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError, StorageFull, VersionMismatch

#: A write that fails with fewer free bytes than this failed because the disk is full.
DISK_FULL_BELOW = 1_048_576


def code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock; the same statement may succeed later."""
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def full(path: str) -> StorageFull:
    return StorageFull(
        f"no room left in {path}: nothing was changed. Free disk space, raise max_bytes in the URL, "
        "or delete archived and completed tasks"
    )


def unwritable(path: str) -> ConfigError:
    return ConfigError([f"{path} cannot be written: check the permissions of the file and its directory"])


def translate(error: sqlite3.Error, path: str) -> BrokerError | ConfigError:
    """The error to raise to the caller."""
    match code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BrokerUnavailable(f"{path} is busy: another process held its lock for too long; try again")
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_IOERR if _disk_full(path):
            return full(path)
        case sqlite3.SQLITE_NOTADB:
            return VersionMismatch(f"{path} is not a SQLite database: name another file")
        case sqlite3.SQLITE_CORRUPT:
            return BrokerError(
                f"{path} is damaged ({error}): stop all processes, recover what is readable with "
                "`sqlite3 <file> .recover`, and start with a new file"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return ConfigError(
                [f"{path} cannot be opened: check that it is a file, and the permissions of its directory"]
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return unwritable(path)
    return BrokerUnavailable(f"{path}: {error}")


def _disk_full(path: str) -> bool:
    try:
        return shutil.disk_usage(os.path.dirname(path)).free < DISK_FULL_BELOW
    except OSError:
        return False
