"""A database file that is removed or replaced while it is open is not used any more."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from asynqio import Mux, Server, StoreReplaced
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.testing import FakeClock
from tests.runtime.waiting import within


def task(id: str) -> Entry:
    return Entry(TaskMessage(id, "kind"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tasks.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[Store]:
    await to_thread(path.parent.mkdir)
    async with open_broker(f"sqlite:///{path}") as store:
        await store.enqueue([task("before")])
        await store.queues()  # the reader has opened the file as well
        yield store


def _remove(path: Path) -> None:
    path.unlink()


def _remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def _restore(path: Path) -> None:
    """Restore a backup as administrators do: a new file under the old name."""
    backup = path.with_name("backup")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    os.rename(backup, path)


def _copy_over(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    path.unlink()
    os.rename(copy, path)


def _move(path: Path) -> None:
    os.rename(path, path.with_name("moved"))


def _remove_log(path: Path) -> None:
    path.with_name("tasks.db-wal").unlink()


def _remove_shared_memory(path: Path) -> None:
    path.with_name("tasks.db-shm").unlink()


def _replace_directory(path: Path) -> None:
    os.rename(path.parent, path.parent.with_name("old"))
    path.parent.mkdir()


def _ids(path: Path) -> set[str]:
    """The tasks of the present file."""
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as database:
        return {id for (id,) in database.execute("SELECT id FROM tasks")}


CHANGES = [
    _remove,
    _remove_all,
    _restore,
    _copy_over,
    _move,
    _remove_log,
    _remove_shared_memory,
    _replace_directory,
]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_removed_or_replaced_file_is_noticed(
    broker: Store, path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    await to_thread(change, path)
    with caplog.at_level(logging.INFO, "asynqio.sqlite"):
        for _ in range(3):
            with pytest.raises(StoreReplaced, match="restart the process"):
                await broker.enqueue([task("lost")])
            with pytest.raises(StoreReplaced):
                await broker.stats(["default"])
            with pytest.raises(StoreReplaced):
                await broker.dequeue(["default"], 1, 30.0, "me")
            with pytest.raises(StoreReplaced):
                await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING))
        assert await broker.accepts_writes(["default"]) == [False]
    assert [record.event for record in caplog.records] == ["store_replaced"]  # type: ignore[attr-defined]
    assert await to_thread(_ids, path) <= {"before"}


async def test_jobs_that_wait_together_are_all_refused(broker: Store, path: Path) -> None:
    await to_thread(_remove, path)
    answers = await within(
        asyncio.gather(
            *(broker.enqueue([task(f"{number}")]) for number in range(200)), return_exceptions=True
        )
    )
    assert {type(answer) for answer in answers} == {StoreReplaced}


async def test_a_waiting_watch_wakes_when_the_file_is_removed(broker: Store, path: Path) -> None:
    with broker.watch([("pending", "default")]) as watch:
        watch.clear()
        waiting = asyncio.create_task(watch.wait(60.0))
        await asyncio.sleep(0)
        await to_thread(_remove, path)
        await within(waiting)


async def test_a_broker_opened_anew_uses_the_present_file(broker: Store, path: Path) -> None:
    await to_thread(_remove_all, path)
    with pytest.raises(StoreReplaced):
        await broker.enqueue([task("a")])
    async with open_broker(broker.url) as anew:
        assert await anew.enqueue([task("b")]) == [Admission.ACCEPTED]
        # Closing the old file deletes nothing of the new one.
        await broker.__aexit__()
        await anew.enqueue([task("c")])
        async with open_broker(broker.url) as third:
            [stats] = await third.stats(["default"])
            assert stats.pending == 2
        await broker.__aenter__()
        assert await broker.enqueue([task("d")]) == [Admission.ACCEPTED]
        [stats] = await anew.stats(["default"])
        assert stats.pending == 3


async def test_a_link_that_points_to_another_file_is_noticed(tmp_path: Path, clock: FakeClock) -> None:
    link = tmp_path / "link.db"
    await to_thread((tmp_path / "one").mkdir)
    await to_thread(link.symlink_to, tmp_path / "one" / "tasks.db")
    async with open_broker(f"sqlite:///{link}", clock=clock) as broker:
        await broker.enqueue([task("a")])
        other = tmp_path / "other.db"
        async with open_broker(f"sqlite:///{other}") as another:
            await another.enqueue([task("b")])
        await to_thread(link.unlink)
        await to_thread(link.symlink_to, other)
        # Noticed within a second, although nothing in the directory of the file has changed, and at once by a thread
        # that opens the file now.
        with pytest.raises(StoreReplaced):
            await broker.ping()
        clock.advance(1)
        with pytest.raises(StoreReplaced):
            await broker.enqueue([task("c")])


async def test_other_changes_in_the_directory_do_not_matter(broker: Store, path: Path) -> None:
    for number in range(5):
        await to_thread(path.with_name(f"other-{number}").write_text, "x")
        assert await broker.enqueue([task(f"{number}")]) == [Admission.ACCEPTED]
    # Compacted and checkpointed by another program: the same files.
    await to_thread(_vacuum, path)
    assert await broker.enqueue([task("after")]) == [Admission.ACCEPTED]
    async with open_broker(broker.url) as second:
        await second.enqueue([task("second")])
    assert await broker.enqueue([task("last")]) == [Admission.ACCEPTED]


def _vacuum(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


async def test_a_worker_reports_it_once_and_works_no_longer(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await to_thread(path.parent.mkdir)
    reported = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Reports(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.event == "store_replaced":  # type: ignore[attr-defined]
                loop.call_soon_threadsafe(reported.set)

    logger, handler = logging.getLogger("asynqio.sqlite"), Reports()
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "asynqio"):
            async with Server(f"sqlite:///{path}", lease_keeper=False).running(Mux()):
                await to_thread(_remove, path)
                await within(reported.wait())
    finally:
        logger.removeHandler(handler)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [getattr(record, "event", record) for record in errors] == ["store_replaced"]
    assert not {getattr(record, "event", "") for record in caplog.records} & {
        "service_failed",
        "service_cancelled",
        "heartbeat_failed",
        "background_write_failed",
    }
