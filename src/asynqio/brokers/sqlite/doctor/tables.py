"""Problems in the tables: damage, wrong counters, abandoned batches, late servers."""

from __future__ import annotations

from collections.abc import Iterator

from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.findings import Finding, Severity

#: Seconds after the end of its lease at which a batch counts as abandoned.
BATCH_GRACE = 60.0
#: A server is late if its registration expires within this many seconds: heartbeats extend it long before.
LATE = 4.0


def examine_tables(transaction: Transaction) -> list[Finding]:
    """Every problem but wrong counters."""
    return [*_damage(transaction), *_batches(transaction), *_servers(transaction)]


def miscounted_queues(transaction: Transaction) -> list[str]:
    """The queues whose counters differ from the number of tasks."""
    return [queue for (queue,) in transaction.all(SQL.miscounted_queues)]


def recount(transaction: Transaction) -> None:
    """Count all tasks and groups again."""
    for statement in (SQL.clear_grouped, SQL.clear_tallies, SQL.count_tallies, SQL.count_grouped):
        transaction.run(statement)


def wrong_counters(queue: str, *, fixed: bool) -> Finding:
    return Finding(
        Severity.WARNING,
        "counters-wrong",
        f"the counters of queue {queue!r} differ from the number of its tasks",
        "count again with --fix",
        queue,
        fixable=True,
        fixed=fixed,
    )


def _damage(transaction: Transaction) -> Iterator[Finding]:
    damage = [line for (line,) in transaction.all(SQL.check_integrity) if line != "ok"]
    if damage:
        yield Finding(
            Severity.ERROR,
            "file-damaged",
            f"the database file is damaged: {damage[0]}",
            "stop all servers, keep a copy of the file, and restore a backup or use sqlite3's .recover",
        )
    mode = transaction.value(SQL.journal_mode)
    if mode != "wal":
        yield Finding(
            Severity.ERROR,
            "journal-mode",
            f"the journal mode is {mode!r}, not 'wal': readers and writers block each other",
            "put the file on a local disk: write-ahead logging does not work on a network file system",
        )


def _batches(transaction: Transaction) -> Iterator[Finding]:
    old = transaction.now - BATCH_GRACE
    for queue, count in transaction.all(SQL.abandoned_batches, old=old):
        yield Finding(
            Severity.WARNING,
            "batches-left",
            f"{count} group batches of queue {queue!r} were claimed by a server that has died",
            "start a server for the queue, which returns their tasks to the groups, or use --fix",
            queue,
            fixable=True,
        )


def _servers(transaction: Transaction) -> Iterator[Finding]:
    soon = transaction.now + LATE
    for (id,) in transaction.all(SQL.late_servers, now=transaction.now, soon=soon):
        yield Finding(
            Severity.WARNING,
            "server-late",
            f"server {id} has sent no heartbeat for more than 10 seconds",
            "check whether it runs: other servers take its tasks when their leases expire",
        )
