"""The execution log: one line per start and end of a handler, written to files independent of the broker.

Each process appends to a separate file with one `write` per line, so each line is complete or missing, however
the process ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asynqio import current

#: The environment variable with the directory of the execution log.
DIRECTORY = "ASYNQIO_TEST_EXECUTIONS"


class Line(NamedTuple):
    """One line of the execution log."""

    #: "start", "end", or "accepted" (by a producer).
    what: str
    id: str
    pid: int
    at: float


@functools.cache
def _file(pid: int) -> int:
    name = os.path.join(os.environ[DIRECTORY], f"{pid}.log")
    return os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(what: str, *ids: str) -> None:
    """Append one line for each id."""
    pid, now = os.getpid(), time.time()
    lines = "".join(f"{what} {id} {pid} {now!r}\n" for id in ids)
    os.write(_file(pid), lines.encode())


@contextlib.contextmanager
def execution() -> Iterator[None]:
    """Log start and end of a handler. A cancelled handler has no end."""
    id = current().id
    write("start", id)
    yield
    write("end", id)


class ExecutionLog:
    """Reads the lines written so far."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def lines(self, what: str) -> list[Line]:
        found = []
        for file in sorted(self.directory.glob("*.log")):
            for line in file.read_text().splitlines():
                kind, id, pid, at = line.split(" ")
                if kind == what:
                    found.append(Line(kind, id, int(pid), float(at)))
        return sorted(found, key=lambda line: line.at)

    def starts(self) -> Counter[str]:
        """The number of starts of each task."""
        return Counter(line.id for line in self.lines("start"))

    def ids(self, what: str) -> set[str]:
        return {line.id for line in self.lines(what)}
