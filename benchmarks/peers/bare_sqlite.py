"""The upper bound on SQLite: one connection, one table, claims and deletions in batches, nothing else."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.cases.enqueue import noop_task
from benchmarks.harness.case import RAW, Case, Size, Values
from benchmarks.harness.row_names import SLOTS

#: As the SQLite broker sets them.
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "temp_store = MEMORY",
    "cache_size = -16000",
    "secure_delete = OFF",
    "journal_size_limit = 67108864",
)


def cases() -> list[Case]:
    return [
        Case(RAW, "enqueue", _one_by_one),
        Case(RAW, "enqueue_many", _in_bulk),
        *[Case(RAW, f"drain, {slots} slots", partial(_drain, slots)) for slots in SLOTS],
    ]


@contextlib.contextmanager
def _file() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        connection = sqlite3.connect(f"{directory}/jobs.db", isolation_level=None)
        with contextlib.closing(connection):
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state INTEGER, payload BLOB)")
            connection.execute("CREATE INDEX waiting ON jobs (state, id)")
            yield connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, count: int) -> None:
    with _transaction(connection):
        connection.executemany(
            "INSERT INTO jobs (state, payload) VALUES (0, ?)",
            [(noop_task().payload,) for _ in range(count)],
        )


async def _one_by_one(size: Size) -> Values:
    with _file() as connection:
        began = time.perf_counter()
        for _ in range(size.one_by_one):
            _insert(connection, 1)
        return {"enqueue one by one, tasks/s": size.one_by_one / (time.perf_counter() - began)}


async def _in_bulk(size: Size) -> Values:
    with _file() as connection:
        began = time.perf_counter()
        for _ in range(size.drained // 1_000):
            _insert(connection, 1_000)
        return {"enqueue_many, 1,000 a call, tasks/s": size.drained / (time.perf_counter() - began)}


async def _drain(batch: int, size: Size) -> Values:
    with _file() as connection:
        _insert(connection, size.drained)
        began = time.perf_counter()
        while True:
            with _transaction(connection):
                jobs = connection.execute(
                    "SELECT id, payload FROM jobs WHERE state = 0 ORDER BY id LIMIT ?", (batch,)
                ).fetchall()
                if not jobs:
                    break
                connection.execute("UPDATE jobs SET state = 1 WHERE state = 0 AND id <= ?", (jobs[-1][0],))
            with _transaction(connection):
                connection.executemany("DELETE FROM jobs WHERE id = ?", [(id,) for id, _ in jobs])
        return {f"drain, {batch} slots, tasks/s": size.drained / (time.perf_counter() - began)}
