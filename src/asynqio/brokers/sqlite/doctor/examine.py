"""What can be wrong with a file: damage, its disk, what it lies on, and figures that do not add up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.findings import Finding, Severity

#: Below so many bytes free the disk is all but full.
LITTLE_DISK, NO_DISK = 500_000_000, 50_000_000
#: File systems of other machines: SQLite's locks and its shared memory do not work on them.
NETWORK = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"}
#: Seconds after which a batch whose time is over should have been given back, and before its end that a card is late.
GIVEN_BACK, LATE = 60.0, 4.0


def examine(transaction: Transaction) -> list[Finding]:
    """What the tables say."""
    return [*_file(transaction), *_batches(transaction), *_cards(transaction)]


def miscounted(transaction: Transaction) -> list[str]:
    """The queues whose figures differ from what is there."""
    return [queue for (queue,) in transaction.all(SQL.miscounted)]


def recount(transaction: Transaction) -> None:
    """Count everything again."""
    for statement in (
        SQL.forget_grouped,
        SQL.forget_tallies,
        SQL.count_tallies,
        SQL.count_grouped,
    ):
        transaction.run(statement)


def figures(queue: str, *, fixed: bool) -> Finding:
    return Finding(
        Severity.WARNING,
        "figures-wrong",
        f"the figures of queue {queue!r} do not add up to the tasks that are there",
        "let them be counted again: --fix",
        queue,
        fixable=True,
        fixed=fixed,
    )


def _file(transaction: Transaction) -> Iterator[Finding]:
    damage = [line for (line,) in transaction.all(SQL.integrity) if line != "ok"]
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
            f"the journal mode is {mode!r}, not 'wal': readers and writers wait for each other",
            "put the file where write-ahead logging works: a local disk, no network file system",
        )


def _batches(transaction: Transaction) -> Iterator[Finding]:
    old = transaction.now - GIVEN_BACK
    for queue, count in transaction.all(SQL.batches_left, old=old):
        yield Finding(
            Severity.WARNING,
            "batches-left",
            f"{count} batches of groups of queue {queue!r} were claimed by a server that is gone",
            "start a server for the queue, which gives their tasks back to the groups, or: --fix",
            queue,
            fixable=True,
        )


def _cards(transaction: Transaction) -> Iterator[Finding]:
    soon = transaction.now + LATE
    for (id,) in transaction.all(SQL.late_servers, now=transaction.now, soon=soon):
        yield late(id)


def late(server: str) -> Finding:
    return Finding(
        Severity.WARNING,
        "server-late",
        f"server {server} has shown no sign of life for more than 10 seconds",
        "look whether it runs: its tasks go to others when their leases lapse",
    )


def place(settings: Settings) -> list[Finding]:
    """What the file lies on. Blocks: for a thread."""
    found = []
    free = _free(settings.path)
    if free < LITTLE_DISK:
        found.append(
            Finding(
                Severity.ERROR if free < NO_DISK else Severity.WARNING,
                "disk-full",
                f"the disk of {settings.path} has {free // 1_000_000:,} MB left",
                "make room: when it is full no task is taken",
            )
        )
    kind = _file_system(settings.path)
    if kind in NETWORK:
        found.append(
            Finding(
                Severity.ERROR,
                "network-file-system",
                f"{settings.path} is on a network file system ({kind}): locks do not work there",
                "put it on a local disk; for several machines use Redis",
            )
        )
    size = os.path.getsize(settings.path)
    if settings.max_bytes and size > settings.max_bytes * 0.85:
        found.append(
            Finding(
                Severity.WARNING,
                "file-full",
                f"{settings.path} has {size:,} of max_bytes={settings.max_bytes:,} bytes",
                "raise max_bytes, or delete tasks that are kept (archived, completed)",
            )
        )
    return found


def _free(path: str) -> int:
    return shutil.disk_usage(os.path.dirname(path)).free


def _file_system(path: str) -> str:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            return file_system_of(os.path.realpath(path), mounts.read())
    except OSError:
        return ""  # not Linux


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that a path is on, by what /proc/self/mounts says; empty if that says nothing."""
    fields = (line.split() for line in mounts.splitlines())
    points = [(point, kind) for _, point, kind, *_ in fields if path.startswith(point.rstrip("/") + "/")]
    return max(points, default=("", ""), key=lambda found: len(found[0]))[1]
