"""Notices that the database or a file beside it was removed or replaced while it is open.

SQLite would continue in the removed file: what it commits there is lost to every other process.
"""

from __future__ import annotations

import os
from typing import TypeAlias

from asynqio.clock import Clock
from asynqio.errors import StoreReplaced

#: Seconds between two checks of the files while their directory has not changed: a file system may have coarse times,
#: and a symbolic link elsewhere may point to another file.
CHECK_INTERVAL = 1.0

_Identity: TypeAlias = tuple[int, int]


def identity(path: str) -> _Identity | None:
    """The device and the inode of a file; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class OpenFiles:
    """The files of a database, as they were when this process opened it. Threads may share it."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        real = os.path.realpath(path)
        self._directory = os.path.dirname(real)
        self._state = self._directory_state()
        #: The files that must stay. Without a write-ahead log there is nothing beside the database.
        self._files = {
            name: found
            for name in (path, f"{real}-wal", f"{real}-shm")
            if (found := identity(name)) is not None
        }
        self._check_at = clock.monotonic() + CHECK_INTERVAL

    def check(self) -> None:
        """Raise StoreReplaced if a file was removed or replaced. Costs one system call (1.3 us) while nothing in the
        directory changes."""
        state = self._directory_state()
        if state != self._state or self._clock.monotonic() >= self._check_at:
            self.verify()
            # The state from before, so that a change during `verify` is noticed by the next call.
            self._state = state
            self._check_at = self._clock.monotonic() + CHECK_INTERVAL

    def verify(self) -> None:
        """Check every file. Raises StoreReplaced."""
        for name, opened in self._files.items():
            found = identity(name)
            if found != opened:
                how = "removed" if found is None else "replaced"
                raise StoreReplaced(
                    f"{name} was {how} while the database was open: nothing more is written to it; "
                    "restart the process"
                )

    def _directory_state(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._directory)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
