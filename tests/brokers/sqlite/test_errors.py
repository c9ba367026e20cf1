"""Every result code of SQLite has a place: retry, keep, or end the task; no code is dropped."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.sqlite.storage.errors import translate, translate_opening
from asynqio.core.lifecycle import Succeeded
from asynqio.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    CannotStore,
    ConfigError,
    StorageFull,
    VersionMismatch,
)
from tests.builders import entry, settlement

#: Primary result codes; OK, ROW, DONE, NOTICE and WARNING are not errors.
NO_ERRORS = {"SQLITE_OK", "SQLITE_ROW", "SQLITE_DONE", "SQLITE_NOTICE", "SQLITE_WARNING"}
PLACES: dict[str, type[BrokerError]] = {
    "SQLITE_BUSY": BrokerUnavailable,
    "SQLITE_LOCKED": BrokerUnavailable,
    "SQLITE_PROTOCOL": BrokerUnavailable,
    "SQLITE_INTERRUPT": BrokerUnavailable,
    "SQLITE_ABORT": BrokerUnavailable,
    "SQLITE_NOMEM": BrokerUnavailable,
    "SQLITE_IOERR": BrokerUnavailable,
    "SQLITE_FULL": StorageFull,
    "SQLITE_NOTADB": VersionMismatch,
    "SQLITE_TOOBIG": CannotStore,
    "SQLITE_MISMATCH": CannotStore,
    "SQLITE_CONSTRAINT": CannotStore,
    "SQLITE_RANGE": CannotStore,
}


def codes() -> dict[str, int]:
    """The primary result codes that this Python knows."""
    own = {"SQLITE_DENY", "SQLITE_IGNORE"}  # answers of an authorizer
    names = {
        text
        for text in vars(sqlite3)
        if text.startswith("SQLITE_") and text.count("_") == 1 and text not in NO_ERRORS | own
    }
    errors = {
        "ABORT", "AUTH", "BUSY", "CANTOPEN", "CONSTRAINT", "CORRUPT", "EMPTY", "ERROR", "FORMAT", "FULL", "INTERNAL",
        "INTERRUPT", "IOERR", "LOCKED", "MISMATCH", "MISUSE", "NOLFS", "NOMEM", "NOTADB", "NOTFOUND", "PERM",
        "PROTOCOL", "RANGE", "READONLY", "SCHEMA", "TOOBIG",
    }  # fmt: skip
    assert {f"SQLITE_{name}" for name in errors} <= names
    return {f"SQLITE_{name}": getattr(sqlite3, f"SQLITE_{name}") for name in errors}


def error_with(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("name", sorted(codes()))
def test_every_code_has_a_place(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    error = translate(error_with(codes()[name]), path)
    assert type(error) is PLACES.get(name, BrokerRefused)
    assert path in str(error)


def test_an_extended_or_unknown_code_is_refused_and_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "tasks.db")
    assert type(translate(error_with(sqlite3.SQLITE_READONLY_DBMOVED), path)) is BrokerRefused
    assert type(translate(error_with(249), path)) is BrokerRefused
    assert type(translate(sqlite3.OperationalError("no code"), path)) is BrokerRefused


@pytest.mark.parametrize("name", ["SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"])
def test_a_wrong_path_is_an_error_of_the_configuration_when_it_is_opened(name: str, tmp_path: Path) -> None:
    assert isinstance(translate_opening(error_with(codes()[name]), str(tmp_path)), ConfigError)
    assert type(translate_opening(error_with(sqlite3.SQLITE_BUSY), str(tmp_path))) is BrokerUnavailable


async def test_a_result_that_is_too_large_for_sqlite_is_named(tmp_path: Path) -> None:
    async with open_broker(f"sqlite:///{tmp_path}/tasks.db") as broker:
        await broker.enqueue([entry("a", retention=60.0), entry("b", retention=60.0)])
        one, two = await broker.dequeue(["default"], 2, 30.0, "me")
        large = settlement(one, Succeeded(bytes(1_000_000_001)), broker.clock.now())
        with pytest.raises(CannotStore, match="cannot hold the value"):
            await broker.settle([large, settlement(two, now=broker.clock.now())])
        assert await broker.settle([settlement(one), settlement(two)]) == [True, True]
