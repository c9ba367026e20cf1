"""Measures the work of each write transaction in steps of SQLite's virtual machine: the same on any computer."""

from __future__ import annotations

import sqlite3

import pytest

from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage import connection, thread

#: Steps between two counts.
PRECISION = 100


class Meter:
    """The write transactions since `clear`: how many steps each took, and its statements."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.statements: list[str] = []
        self._now = 0
        monkeypatch.setattr(thread, "connect", self._connect)

    def clear(self) -> None:
        self.steps.clear()
        self.statements.clear()

    @property
    def most(self) -> int:
        """The steps of the longest transaction."""
        return max(self.steps, default=0)

    def _connect(self, settings: Settings, *, reading: bool = False) -> sqlite3.Connection:
        made = connection.connect(settings, reading=reading)
        if not reading:
            made.set_trace_callback(self._on_statement)
            made.set_progress_handler(self._on_steps, PRECISION)
        return made

    def _on_statement(self, statement: str) -> None:
        self.statements.append(statement)
        if statement.startswith("BEGIN"):
            self._now = 0
        elif statement.startswith("COMMIT"):
            self.steps.append(self._now)

    def _on_steps(self) -> int:
        self._now += PRECISION
        return 0
