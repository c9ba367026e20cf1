"""Opening a SQLite broker: URLs, files of other programs, schema versions, and files that cannot be opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import sys
import tempfile
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.sqlite.storage import connection
from asynqio.brokers.sqlite.storage.rows import encode
from asynqio.brokers.sqlite.storage.statements import migrations
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.lifecycle import Failed, Policy, decide
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerRefused, BrokerUnavailable, ConfigError, VersionMismatch

TASK = Entry(TaskMessage("a", "kind"))


async def ask(path: Path, query: str) -> Any:
    """Query the file as any other program would."""
    return await to_thread(_do, path, query)


async def change(path: Path, statement: str) -> None:
    await to_thread(_do, path, statement)


def _do(path: Path, statement: str) -> Any:
    with closing(sqlite3.connect(path)) as database:
        row = database.execute(statement).fetchone()
        database.commit()
        return row


def lock(path: Path) -> sqlite3.Connection:
    """Take the write lock."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


async def opened(url: str) -> None:
    async with open_broker(url):
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


def url(path: Path, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


# --- URLs ---------------------------------------------------------------------------------------------


def test_a_relative_path_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def address() -> str:
        async with open_broker("sqlite:///tasks.db") as broker:
            return broker.url

    monkeypatch.chdir(tmp_path)
    # Once it is open, the URL is valid from any working directory.
    assert asyncio.run(address()) == f"sqlite:///{tmp_path}/tasks.db"
    assert os.listdir(tmp_path) == ["tasks.db"]


async def test_a_url_opens_the_same_file_again_with_the_same_options(tmp_path: Path) -> None:
    given = url(tmp_path / "odd name%3F.db", "?synchronous=full&busy_timeout=2.5&max_bytes=2000000")
    broker = open_broker(given)
    assert open_broker(broker.url).url == broker.url
    async with broker, open_broker(broker.url) as again:
        assert await broker.enqueue([TASK]) == [Admission.ACCEPTED]
        assert await again.queues() == ["default"]
    assert await to_thread(os.listdir, tmp_path) == ["odd name?.db"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("sqlite://tasks.db", "three or four slashes"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:x.db", "three or four slashes"),
        ("sqlite:/x.db", "three or four slashes"),
        ("sqlite:///a%00.db", "NUL"),
        ("sqlite:///a\ud800.db", "not valid in a file name"),
        ("sqlite:///a?b.db", "a question mark in the path is written %3F"),
        ("sqlite:///x.db?busy_timeout=5#1", "a number of seconds"),
        ("sqlite:///x.db?sync=full", "no option 'sync': it takes synchronous, busy_timeout, max_bytes"),
        ("sqlite:///x.db?synchronous=off", "normal or full"),
        ("sqlite:///x.db?busy_timeout=-1", "a number of seconds"),
        ("sqlite:///x.db?max_bytes=9", "at least 1,048,576"),
    ],
)
def test_a_wrong_url_is_refused_with_a_fix(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        open_broker(wrong)


def test_all_problems_of_a_url_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        open_broker("sqlite:///x.db?foo=1&busy_timeout=soon&max_bytes=none")
    assert len(caught.value.problems) == 3


def test_a_too_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigError, match=r"needs 3\.35"):
        open_broker("sqlite:///x.db")


# --- owner and version --------------------------------------------------------------------------------


async def test_a_new_file_gets_application_id_version_and_journal_mode(path: Path) -> None:
    await opened(url(path))
    assert await ask(path, "PRAGMA application_id") == (connection.APPLICATION_ID,)
    assert await ask(path, "PRAGMA user_version") == (max(migrations()),)
    assert await ask(path, "PRAGMA journal_mode") == ("wal",)


async def test_the_database_of_another_program_stays_unchanged(path: Path) -> None:
    await change(path, "CREATE TABLE theirs (x)")
    before = await to_thread(path.read_bytes)
    with pytest.raises(VersionMismatch, match="another program: name another file"):
        await opened(url(path))
    assert await to_thread(path.read_bytes) == before


async def test_a_newer_schema_version_is_refused_with_a_fix(path: Path) -> None:
    await opened(url(path))
    await change(path, "PRAGMA user_version = 99")
    with pytest.raises(VersionMismatch, match=r"newer asynqio \(schema version 99.*upgrade"):
        await opened(url(path))
    assert await ask(path, "PRAGMA user_version") == (99,)


async def test_an_older_schema_version_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_broker(url(path)) as broker:
        await broker.enqueue([TASK])
    newest = max(migrations())
    more = {**migrations(), newest + 1: ["ALTER TABLE queues ADD COLUMN motto TEXT NOT NULL DEFAULT 'go'"]}
    monkeypatch.setattr(connection, "migrations", lambda: more)
    async with open_broker(url(path)) as broker:
        assert await broker.queues() == ["default"]
    assert await ask(path, "PRAGMA user_version") == (newest + 1,)
    assert await ask(path, "SELECT motto FROM queues") == ("go",)


async def test_tasks_of_schema_version_1_are_kept_and_get_attempts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as then:
        first = {1: migrations()[1]}
        then.setattr(connection, "migrations", lambda: first)
        await opened(url(path))
    message = encode(TASK.message)
    await change(path, "INSERT INTO queues (name) VALUES ('default')")
    await to_thread(_insert, path, message)
    assert await ask(path, "PRAGMA user_version") == (1,)
    async with open_broker(url(path)) as broker:
        [held] = await broker.dequeue(["default"], 1, 30.0, "server")
        assert held.message == TASK.message
        end = decide(held, Failed(ValueError("no")), 1.0, Policy())
        await broker.settle([with_record(end, Failed(ValueError("no")), AttemptRecord(), 2.0)])
        [[run]] = await broker.attempts([held.message.ref])
        assert run.error == "ValueError: no"
        await broker.remove_queue("default", force=True)
    assert await ask(path, "SELECT count(*) FROM attempts") == (0,)


def _insert(path: Path, message: bytes) -> None:
    with closing(sqlite3.connect(path)) as database:
        columns = "key, queue, id, state, at, seq, message"
        values = (1, "default", TASK.message.id, "pending", 0.0, 1, message)
        database.execute(f"INSERT INTO tasks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        database.execute("UPDATE counter SET last = 1")
        database.commit()


async def test_a_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await opened(url(path))
    newest = max(migrations())
    more = {**migrations(), newest + 1: ["CREATE TABLE half (x)", "CREATE TABLE half (x)"]}
    monkeypatch.setattr(connection, "migrations", lambda: more)
    with pytest.raises(BrokerRefused, match="half"):
        await opened(url(path))
    assert await ask(path, "PRAGMA user_version") == (newest,)
    assert await ask(path, "SELECT count(*) FROM sqlite_master WHERE name = 'half'") == (0,)


async def test_processes_that_open_a_new_file_at_once_create_it_once(path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from asynqio.brokers import open_broker\n"
        "async def main():\n"
        "    async with open_broker(sys.argv[1]) as broker:\n"
        "        await broker.pause(sys.argv[2], True)\n"
        "asyncio.run(main())\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, url(path), f"q{number}")
        for number in range(6)
    ]
    assert [await process.wait() for process in processes] == [0] * 6
    async with open_broker(url(path)) as broker:
        assert await broker.queues() == [f"q{number}" for number in range(6)]


# --- files that cannot be opened ----------------------------------------------------------------------


async def test_a_file_that_is_no_database_stays_unchanged(path: Path) -> None:
    await to_thread(path.write_bytes, b"not a database at all, " * 100)
    with pytest.raises(VersionMismatch, match="not a SQLite database"):
        await opened(url(path))
    assert (await to_thread(path.read_bytes)).startswith(b"not a database")


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no directory {tmp_path}/nowhere"):
        await opened(url(tmp_path / "nowhere" / "tasks.db"))


async def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        await opened(url(tmp_path))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses new files")
async def test_a_directory_that_refuses_new_files_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        await opened("sqlite:////proc/tasks.db")


@contextlib.contextmanager
def as_unprivileged_user() -> Iterator[None]:
    """Root may write anywhere, so switch to another user for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


async def test_rule_13_a_read_only_file_is_refused(public: Path) -> None:
    path = public / "tasks.db"
    await opened(url(path))
    await to_thread(path.chmod, 0o444)
    with as_unprivileged_user(), pytest.raises(ConfigError, match="permissions"):
        await opened(url(path))


#: Makes a file system, opens a file on it, and opens it again when the file system is mounted read-only.
READ_ONLY = """
set -e
mount -t tmpfs none "$1"
"$2" -m asynqio queue ls --broker "sqlite:///$1/tasks.db"
mount -o remount,ro "$1"
"$2" -m asynqio queue ls --broker "sqlite:///$1/tasks.db" || echo status $?
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a private file system")
async def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"),
        *(str(tmp_path), sys.executable),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    if "unshare" in output or "mount:" in output:
        pytest.skip("this machine permits no private file systems")
    assert "mounted read-only" in output
    assert "status 2" in output


async def test_rule_13_a_locked_file_is_unavailable(path: Path) -> None:
    async with open_broker(url(path, "?busy_timeout=0.05")) as broker:
        other = await to_thread(lock, path)
        with pytest.raises(BrokerUnavailable, match="busy"):
            await broker.enqueue([TASK])
        await to_thread(other.close)
        assert await broker.enqueue([TASK]) == [Admission.ACCEPTED]


async def test_a_broker_that_is_not_open_raises(path: Path) -> None:
    broker = open_broker(url(path))
    for call in (broker.enqueue([TASK]), broker.queues()):
        with pytest.raises(BrokerUnavailable, match="async with"):
            await call
    with pytest.raises(BrokerUnavailable, match="async with"):
        broker.watch([("pending", "default")])


async def test_a_broker_may_be_opened_again(path: Path) -> None:
    broker: Store = open_broker(url(path))
    for id in "ab":
        async with broker, broker.clone() as clone:
            await clone.enqueue([Entry(TaskMessage(id, "kind"))])
    async with broker:
        [stats] = await broker.stats(["default"])
    assert stats.pending == 2
