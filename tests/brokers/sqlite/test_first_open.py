"""Several processes open a file that is new, at the same moment."""

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


def test_a_file_that_is_made_while_one_looks_at_it_is_not_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    ask = connection._number
    others: list[sqlite3.Connection] = []
    started: list[threading.Thread] = []

    def interrupted(looking: sqlite3.Connection, question: str) -> int:
        """Between the first question and the next somebody else makes the tables."""
        answer = ask(looking, question)
        if not started:
            monkeypatch.setattr(connection, "_number", ask)
            other = threading.Thread(target=lambda: others.append(connection.connect(settings)))
            other.start()
            started.append(other)
            other.join(0.5)  # it may have to wait for us
        return answer

    monkeypatch.setattr(connection, "_number", interrupted)
    opened = connection.connect(settings)

    assert ask(opened, "PRAGMA application_id") == connection.APPLICATION_ID
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


def test_four_open_a_new_file_at_once(tmp_path: Path) -> None:
    problems: list[Exception] = []
    for number in range(20):
        directory = tmp_path / str(number)
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
