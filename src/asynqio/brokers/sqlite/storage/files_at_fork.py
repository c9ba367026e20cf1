"""The database files that this process has open, because a forked child must not open them.

SQLite keeps the locks of a process in memory, and a fork copies that memory but not the locks. A connection that the
child opens takes no lock, so when the parent closes the file, the write-ahead log is deleted and commits of the child
are lost. (Measured with SQLite 3.40.)
"""

from __future__ import annotations

import os
import threading
from collections import Counter

from asynqio.brokers.contract.processes import reset_after_fork
from asynqio.errors import WrongProcess

#: Device and inode.
FileId = tuple[int, int]


class FilesAtFork:
    """Counts the connections to each file. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[FileId] = Counter()
        self._inherited: set[FileId] = set()
        reset_after_fork(self)

    def check(self, path: str) -> None:
        """Raises WrongProcess if the file was open when this process was forked."""
        if self._inherited and os.path.exists(path) and _id_of(path) in self._inherited:
            raise open_at_fork(path)

    def add(self, path: str) -> FileId:
        """Count a connection to a file that exists."""
        id = _id_of(path)
        with self._lock:
            self._counts[id] += 1
        return id

    def remove(self, id: FileId) -> None:
        """The connection is closed."""
        with self._lock:
            self._counts[id] -= 1
            if not self._counts[id]:
                del self._counts[id]

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._inherited |= set(self._counts)
        self._counts.clear()


FILES_AT_FORK = FilesAtFork()


def open_at_fork(path: str) -> WrongProcess:
    return WrongProcess(
        f"{path} was open when this process was forked, and SQLite would lose its commits: close the app or client "
        "before the fork, or start the process with multiprocessing's spawn"
    )


def _id_of(path: str) -> FileId:
    found = os.stat(path)
    return found.st_dev, found.st_ino
