"""Statements and migrations are found by name and number: no two may share one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from asynqio.brokers.sqlite.storage import statements as sql

HERE = Path(sql.__file__).parents[1]


def test_no_two_statements_have_the_same_name() -> None:
    names = Counter(re.findall(r"^-- name: (\w+)$", (HERE / "queries.sql").read_text(), re.MULTILINE))
    assert [name for name, times in names.items() if times > 1] == []


def test_migrations_are_numbered_one_after_the_other() -> None:
    numbers = [int(file.name.partition("_")[0]) for file in sorted((HERE / "migrations").glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(sql.migrations()) == numbers
