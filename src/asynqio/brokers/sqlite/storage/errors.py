"""Translates SQLite's errors into this library's: no driver exception reaches a caller."""

from __future__ import annotations

import os
import shutil
import sqlite3

from asynqio.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    CannotStore,
    ConfigError,
    StorageFull,
    VersionMismatch,
)

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


_UNWRITABLE = "cannot be written: check the permissions of the file and its directory"

_READ_ONLY = "is on a file system that is mounted read-only: mount it writable"


def unwritable(path: str) -> ConfigError:
    return ConfigError([f"{path} {_READ_ONLY if _is_read_only(path) else _UNWRITABLE}"])


#: Codes of what passes by itself: another process, the machine, an interrupted statement.
_PASSING = frozenset(
    {sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_ABORT}
)
#: Codes of values that the file can never hold.
_UNSTORABLE = frozenset(
    {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_RANGE}
)


def translate(error: sqlite3.Error, path: str) -> BrokerError:
    """The error to raise to the caller. A code without a place is `BrokerRefused`: kept, and reported."""
    if isinstance(error, sqlite3.DataError) or _is_binding(error):
        return CannotStore(f"{path} cannot hold the value: {error}")
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
            return BrokerRefused(
                f"{path} is damaged ({error}): stop all processes, recover what is readable with "
                "`sqlite3 <file> .recover`, and start with a new file"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return BrokerRefused(
                f"{path} cannot be opened: check that it is a file, and the permissions of its directory"
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY if _is_read_only(path):
            return BrokerRefused(f"{path} {_READ_ONLY}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return BrokerRefused(f"{path} {_UNWRITABLE}")
        case sqlite3.SQLITE_IOERR:
            name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
            return BrokerUnavailable(f"{path}: {error} ({name})")
        case passing if passing in _PASSING:
            return BrokerUnavailable(f"{path}: {error}")
        case permanent if permanent in _UNSTORABLE:
            return CannotStore(f"{path} cannot hold the value: {error}")
    return BrokerRefused(f"{path}: {error}")


def translate_opening(error: sqlite3.Error, path: str) -> BrokerError | ConfigError:
    """The error to raise when the file is opened: a wrong path or wrong permissions are a ConfigError."""
    translated = translate(error, path)
    if code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return ConfigError([str(translated)])
    return translated


def _is_binding(error: sqlite3.Error) -> bool:
    """Whether Python could not pass a value to SQLite."""
    return isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError) and str(error).startswith(
        "Error binding parameter"
    )


def _disk_full(path: str) -> bool:
    try:
        return shutil.disk_usage(os.path.dirname(path)).free < DISK_FULL_BELOW
    except OSError:
        return False


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY)
    except (AttributeError, OSError):  # no statvfs on Windows
        return False
