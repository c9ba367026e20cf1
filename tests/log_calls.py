"""Reads the logging calls of the source, and the table of events in the reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "asynqio"
PAGE = ROOT / "docs" / "reference" / "logging.md"
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
    "log": "",  # the level is an argument
}


class Call(NamedTuple):
    """One logging call. `event`: None if it has none that can be read."""

    where: str
    logger: str
    #: Empty if it is computed.
    level: str
    event: str | None
    #: Names that stand in `extra` itself.
    fields: frozenset[str]


class Row(NamedTuple):
    """One row of the table of events."""

    event: str
    levels: frozenset[str]
    loggers: frozenset[str]
    fields: frozenset[str]
    meaning: str


def calls_in(path: Path, root: Path = SRC) -> Iterator[Call]:
    """The calls of `log.<method>(…)` in one module."""
    tree = ast.parse(path.read_text())
    logger = next((name for node in tree.body if (name := _logger(node))), "")
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)) if method in LEVELS:
                event, fields = _extra(node)
                where = f"{path.relative_to(root.parent)}:{node.lineno}"
                yield Call(where, logger, LEVELS[method], event, fields)


def all_calls(root: Path = SRC) -> list[Call]:
    return [call for path in sorted(root.rglob("*.py")) for call in calls_in(path, root)]


def _logger(node: ast.stmt) -> str:
    match node:
        case ast.Assign(
            targets=[ast.Name(id="log")],
            value=ast.Call(func=ast.Attribute(attr="getLogger"), args=[ast.Constant(value=str(name))]),
        ):
            return name
    return ""


def _extra(call: ast.Call) -> tuple[str | None, frozenset[str]]:
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            found: dict[str, ast.expr] = {}
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant):
                    found[str(key.value)] = value
            event = found.pop("event", None)
            name = event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else None
            return name, frozenset(found)
    return None, frozenset()


def rows_of(page: Path = PAGE) -> list[Row]:
    """The rows of tables with the header `| Event |`, in the order of the page."""
    rows: list[Row] = []
    inside = False
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "Event":
            inside = True
        elif inside and not set(cells[0]) <= {"-", ":"}:
            event, levels, loggers, fields, meaning = cells
            rows.append(
                Row(
                    event.strip("`"),
                    frozenset(re.findall(r"[A-Z]{4,}", levels)),
                    frozenset(re.findall(r"`([\w.]+)`", loggers)),
                    frozenset(re.findall(r"`(\w+)`", fields)),
                    meaning,
                )
            )
    return rows
