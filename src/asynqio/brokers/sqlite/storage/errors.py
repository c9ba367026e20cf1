"""What goes wrong in SQLite, in the words of this library: no driver's exception gets out."""

from __future__ import annotations

import os
import shutil
import sqlite3

from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError, StorageFull, VersionMismatch

#: With less room than this, in bytes, a failed write means that the disk is full.
_HARDLY_ANY = 1_048_576


def code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Somebody else holds the file; it passes."""
    return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def full(path: str) -> StorageFull:
    return StorageFull(
        f"no room left in {path}: nothing was changed. Make room on the disk, or raise max_bytes in the URL, "
        "or delete tasks that are kept (archived, completed)"
    )


def unwritable(path: str) -> ConfigError:
    return ConfigError([f"{path} cannot be written: check the permissions of the file and its directory"])


def translate(error: sqlite3.Error, path: str) -> BrokerError | ConfigError:
    """The error that a caller is to see."""
    match code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BrokerUnavailable(f"{path} is busy: another process kept it for too long; try again")
        case sqlite3.SQLITE_FULL:
            return full(path)
        case sqlite3.SQLITE_IOERR if _disk_full(path):
            return full(path)
        case sqlite3.SQLITE_NOTADB:
            return VersionMismatch(f"{path} is not a SQLite database: name another file")
        case sqlite3.SQLITE_CORRUPT:
            return BrokerError(
                f"{path} is damaged ({error}): stop all processes, save what can be read with "
                "`sqlite3 <file> .recover`, and start with a new file"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return ConfigError([f"{path} cannot be opened: check that it is a file and who may write there"])
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return unwritable(path)
    return BrokerUnavailable(f"{path}: {error}")


def _disk_full(path: str) -> bool:
    try:
        return shutil.disk_usage(os.path.dirname(path)).free < _HARDLY_ANY
    except OSError:
        return False
