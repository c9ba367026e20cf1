"""Stats of a SQLite broker: read from counters, so their cost does not grow with the number of tasks."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from asynqio.brokers import open_broker
from asynqio.brokers.sqlite.admin.stats import queue_stats
from asynqio.brokers.sqlite.storage.statements import migrations
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.info import QueueStats
from asynqio.testing import FakeClock
from tests.builders import entry


def steps_of_stats(path: Path) -> tuple[QueueStats, int]:
    """The stats, and the number of virtual machine instructions that SQLite runs to read them."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite3.connect(path)
    connection.set_progress_handler(count, 1)
    try:
        [stats] = queue_stats(Transaction(connection, FakeClock().now()), ["default"])
    finally:
        connection.close()
    return stats, steps


async def test_stats_of_40_000_tasks_cost_as_much_as_of_4_000(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "tasks.db"
    async with open_broker(f"sqlite:///{path}", clock=clock) as broker:
        few = [entry(group=f"g{number}" if number % 2 else "") for number in range(4_000)]
        await broker.enqueue(few)
        _, small = await asyncio.to_thread(steps_of_stats, path)
        await broker.enqueue([entry(group=f"h{n}" if n % 2 else "") for n in range(36_000)])
        stats, large = await asyncio.to_thread(steps_of_stats, path)
    assert (stats.pending, stats.aggregating, stats.groups) == (20_000, 20_000, 20_000)
    assert large <= small + 20


async def test_a_file_of_schema_version_1_gets_its_counters_when_opened(
    tmp_path: Path, clock: FakeClock
) -> None:
    # Given tasks in several states, written without counters
    path = tmp_path / "tasks.db"
    await asyncio.to_thread(_write_version_1, path)
    # When the file is opened
    async with open_broker(f"sqlite:///{path}", clock=clock) as broker:
        [stats] = await broker.stats(["default"])
    # Then its stats are right
    assert (stats.pending, stats.active, stats.scheduled, stats.aggregating) == (3, 1, 2, 4)
    assert stats.groups == 2


def _write_version_1(path: Path) -> None:
    connection = sqlite3.connect(path)
    for statement in migrations()[1]:
        connection.execute(statement)
    connection.execute("PRAGMA application_id = 1634954865")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO queues (name) VALUES ('default')")
    rows = [("pending", "", "")] * 3 + [("active", "", "")] + [("scheduled", "", "")] * 2
    rows += [("aggregating", "g", ""), ("aggregating", "g", ""), ("aggregating", "h", "")]
    rows += [("aggregating", "i", "claimed")]
    for number, (state, group, batch) in enumerate(rows, 1):
        connection.execute(
            "INSERT INTO tasks (key, queue, id, state, at, seq, group_key, batch, message)"
            " VALUES (?, 'default', ?, ?, 1.0, ?, ?, ?, x'00')",
            (number, f"id-{number}", state, number, group, batch),
        )
    connection.execute("UPDATE counter SET last = 100")
    connection.commit()
    connection.close()
