"""Statements and migrations are found by name and number: both must be unique, and every statement used."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from asynqio.brokers.sqlite.storage import statements
from asynqio.brokers.sqlite.storage.statements import SQL, migrations

PACKAGE = Path(statements.__file__).parents[1]
SCRIPTS = sorted((PACKAGE / "queries").rglob("*.sql"))


def test_every_query_file_has_a_purpose_and_every_statement_one() -> None:
    for script in SCRIPTS:
        head, *statements = re.split(r"^-- name: \w+\n", script.read_text(), flags=re.MULTILINE)
        assert head.startswith("-- "), script.name
        assert all(statement.startswith("-- ") for statement in statements), script.name


def test_the_name_of_a_statement_is_unique_across_files() -> None:
    names = Counter(
        name
        for script in SCRIPTS
        for name in re.findall(r"^-- name: (\w+)$", script.read_text(), re.MULTILINE)
    )
    assert [name for name, times in names.items() if times > 1] == []
    assert set(names) == set(SQL)


def test_every_statement_is_used_and_every_used_statement_exists() -> None:
    used = {
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bSQL\.(\w+)", file.read_text("utf-8"))
    }
    assert used == set(SQL)


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [int(file.name.partition("_")[0]) for file in sorted((PACKAGE / "migrations").glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(migrations()) == numbers
