"""Several processes open a new file at the same time."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from asynqio.brokers.sqlite.settings import Settings, parse
from asynqio.brokers.sqlite.storage import connection


def settings_in(directory: Path) -> Settings:
    return parse(urlsplit(f"sqlite:///{directory}/tasks.db"))


def test_a_file_created_during_the_version_check_is_recognized_as_asynqio_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    number = connection._number
    others: list[sqlite3.Connection] = []
    started: list[threading.Thread] = []

    def interrupted(reading: sqlite3.Connection, query: str) -> int:
        """Another connection creates the tables between the first query and the second."""
        answer = number(reading, query)
        if not started:
            monkeypatch.setattr(connection, "_number", number)
            other = threading.Thread(target=lambda: others.append(connection.connect(settings)))
            other.start()
            started.append(other)
            other.join(0.5)  # it may have to wait for our lock
        return answer

    monkeypatch.setattr(connection, "_number", interrupted)
    opened = connection.connect(settings)

    assert number(opened, "PRAGMA application_id") == connection.APPLICATION_ID
    for other in started:
        other.join()
    for each in (opened, *others):
        each.close()


def open_together(settings: Settings, together: threading.Barrier, problems: list[Exception]) -> None:
    together.wait()
    try:
        connection.connect(settings).close()
    except Exception as problem:
        problems.append(problem)


def test_four_connections_open_a_new_file_at_once(tmp_path: Path) -> None:
    problems: list[Exception] = []
    for attempt in range(20):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        settings, together = settings_in(directory), threading.Barrier(4)

        threads = [
            threading.Thread(target=open_together, args=(settings, together, problems)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
