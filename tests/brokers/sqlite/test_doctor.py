"""Problems that `examine` finds in a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.sqlite.doctor import file
from asynqio.brokers.sqlite.settings import Settings
from asynqio.core.findings import Severity
from asynqio.testing import FakeClock
from tests.builders import entry


def damage(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_fix_counts_again_when_counters_differ_from_the_tasks(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "tasks.db"
    async with open_broker(f"sqlite:///{path}", clock=clock) as broker:
        await broker.enqueue([entry(), entry(at=5e9), entry(group="g"), entry(queue="other")])
        [right] = await broker.stats(["default"])
        await asyncio.to_thread(damage, path, "UPDATE tallies SET count = 77 WHERE queue = 'default'")
        [wrong] = await broker.stats(["default"])
        assert wrong.pending == 77
        for fix in (False, True):
            [finding] = [one for one in await broker.examine(fix=fix) if one.code == "counters-wrong"]
            assert (finding.queue, finding.fixable, finding.fixed) == ("default", True, fix)
        assert await broker.stats(["default"]) == [right]
        assert [one for one in await broker.examine() if one.code == "counters-wrong"] == []


async def test_a_damaged_file_is_found(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "tasks.db"
    async with open_broker(f"sqlite:///{path}", clock=clock) as broker:
        await broker.enqueue([entry(payload=b"x" * 500) for _ in range(200)])
    # Given an index that lacks an entry
    await asyncio.to_thread(_lose_from_an_index, path)
    async with open_broker(f"sqlite:///{path}", clock=clock) as broker:
        [finding] = [one for one in await broker.examine() if one.severity is Severity.ERROR]
    assert finding.code == "file-damaged"
    assert "backup" in finding.advice


def _lose_from_an_index(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()
    [size] = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as database:
        database.seek((page - 1) * size + 3)
        database.write(b"\x7f\xff")


def test_a_nearly_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks.db"
    path.write_bytes(b"x" * 2_000_000)
    settings = Settings(str(path), max_bytes=2_100_000)
    for free, severity in ((10**8, Severity.WARNING), (10**7, Severity.ERROR)):
        monkeypatch.setattr(file, "_free", lambda path, free=free: free)
        found = {one.code: one for one in file.examine_file(settings)}
        assert found["disk-full"].severity is severity
        assert "file-full" in found


def test_a_network_file_system_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tasks.db"
    path.touch()
    monkeypatch.setattr(file, "_file_system", lambda _: "nfs4")
    assert "network-file-system" in {one.code for one in file.examine_file(Settings(str(path)))}


def test_the_file_system_of_a_path_is_the_longest_mount_point() -> None:
    mounts = "/dev/sda / ext4 rw\nhost:/srv /mnt/share nfs4 rw\nhost:/x /mnt/sharedtoo cifs rw\n"
    assert file.file_system_of("/mnt/share/a/tasks.db", mounts) == "nfs4"
    assert file.file_system_of("/mnt/sharedtoo/tasks.db", mounts) == "cifs"
    assert file.file_system_of("/srv/tasks.db", mounts) == "ext4"
    assert file.file_system_of("/srv/tasks.db", "") == ""
