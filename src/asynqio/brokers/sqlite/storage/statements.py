"""The statements of queries/ by name, and the migrations by number.

The files are read at first use: on a database thread, so that opening a broker does no file I/O on the event loop.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

#: The package that contains the SQL files.
PACKAGE = "asynqio.brokers.sqlite"


class Statements:
    """Named statements as attributes: `SQL.settle`. Names are unique across all files."""

    def __getattr__(self, name: str) -> str:
        try:
            return self._by_name[name]
        except KeyError:
            raise AttributeError(f"queries/ defines no statement {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for script in _scripts("queries").values():
            parts = re.split(r"^-- name: (\w+)\n", script, flags=re.MULTILINE)
            found.update(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
        return found


SQL = Statements()


def json_list(values: Iterable[str | int]) -> str:
    """A list for `json_each`, for a statement about many rows."""
    return msgspec.json.encode(list(values)).decode()


@cache
def migrations() -> dict[int, list[str]]:
    """The statements that migrate a database from version n - 1 to version n."""
    return {
        int(name.partition("_")[0]): _split(script) for name, script in sorted(_scripts("migrations").items())
    }


def _scripts(folder: str) -> dict[str, str]:
    """The text of every SQL file in a folder of this package and in its folders, by file name."""
    return {file.name: file.read_text("utf-8") for file in _sql_files(files(PACKAGE) / folder)}


def _sql_files(folder: Traversable) -> Iterator[Traversable]:
    for found in folder.iterdir():
        if found.is_dir():
            yield from _sql_files(found)
        elif found.name.endswith(".sql"):
            yield found


def _split(script: str) -> list[str]:
    """The statements of a script one by one: `executescript` would commit the transaction around it."""
    found, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found
