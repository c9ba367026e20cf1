"""The statements of queries.sql, by name, and the migrations, by number.

Read once, at the first use: that is on a worker's thread, so an event loop that opens a broker reads no files.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.resources import files

#: Where the SQL files are.
PACKAGE = "asynqio.brokers.sqlite"


class Queries:
    """Named statements as attributes: `QUERIES.settle`."""

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"queries.sql has no statement {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    @cached_property
    def _statements(self) -> dict[str, str]:
        text = (files(PACKAGE) / "queries.sql").read_text("utf-8")
        parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


QUERIES = Queries()


@cache
def migrations() -> dict[int, list[str]]:
    """The statements that bring a database from version n - 1 to version n."""
    return {
        int(file.name.partition("_")[0]): _statements(file.read_text("utf-8"))
        for file in sorted((files(PACKAGE) / "migrations").iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    }


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would end the transaction around it."""
    found, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
