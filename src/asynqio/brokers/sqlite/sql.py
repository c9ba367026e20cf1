"""The statements of queries.sql, by name, and the migrations, by number. Read once, at import."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files

_HERE = files(__package__)


class Queries:
    """Named statements as attributes: `QUERIES.dequeue`."""

    def __init__(self, text: str) -> None:
        parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
        self._statements = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"queries.sql has no statement {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would end the transaction around it."""
    found, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


QUERIES = Queries((_HERE / "queries.sql").read_text("utf-8"))

#: What brings a database from version n - 1 to version n.
MIGRATIONS: dict[int, list[str]] = {
    int(file.name.partition("_")[0]): _statements(file.read_text("utf-8"))
    for file in sorted((_HERE / "migrations").iterdir(), key=lambda file: file.name)
    if file.name.endswith(".sql")
}
