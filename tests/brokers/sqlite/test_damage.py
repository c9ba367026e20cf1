"""Corrupt rows and a full store: other tasks are processed, and no task is lost silently."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import CORRUPT_TYPE, Moved
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import DONE, Action, Policy, decide
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import StorageFull

#: Empty, an array, a map without an id, a string that is not UTF-8, and a text instead of bytes.
CORRUPT = [b"", b"\x93\x01\x02\x03", b"\x81\xa4type\xa1x", b"\x81\xa2id\xa2\xff\xff", "text"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[Store]:
    async with open_broker(f"sqlite:///{path}") as broker:
        yield broker


async def corrupt(path: Path, id: str, found: bytes | str = b"\xc1junk") -> None:
    await to_thread(_do, path, "UPDATE tasks SET message = ? WHERE id = ?", found, id)


async def quarantined(path: Path) -> int:
    return int((await to_thread(_do, path, "SELECT sum(quarantined) FROM queues"))[0])


def _do(path: Path, statement: str, *values: bytes | str) -> Any:
    with closing(sqlite3.connect(path)) as database:
        row = database.execute(statement, values).fetchone()
        database.commit()
        return row


async def put(
    broker: Store, ids: Iterable[str], state: TaskState = TaskState.PENDING, group: str = ""
) -> None:
    await broker.enqueue([Entry(TaskMessage(id, "kind", group=group), state) for id in ids])


async def archived(broker: Store) -> list[TaskInfo]:
    return await broker.tasks(Where("default", TaskState.ARCHIVED), Page())


@pytest.mark.parametrize("found", CORRUPT)
async def test_rule_14_dequeue_returns_the_other_tasks(broker: Store, path: Path, found: bytes | str) -> None:
    await put(broker, "abc")
    await corrupt(path, "b", found)
    leases = await broker.dequeue(["default"], 2, 30, "me")
    assert [lease.message.id for lease in leases] == ["a", "c"]
    [info] = await archived(broker)
    assert (info.id, info.type) == ("b", CORRUPT_TYPE)
    assert info.payload == (found.encode() if isinstance(found, str) else found)
    assert await quarantined(path) == 1


async def test_rule_14_dequeue_ends_when_every_task_is_corrupt(broker: Store, path: Path) -> None:
    await put(broker, "abc")
    for id in "abc":
        await corrupt(path, id)
    assert await broker.dequeue(["default"], 2, 30, "me") == []
    assert await quarantined(path) == 3


async def test_rule_14_forward_moves_the_other_tasks(broker: Store, path: Path) -> None:
    await put(broker, "abc", TaskState.SCHEDULED)
    await corrupt(path, "a")
    assert (await broker.forward(["default"], 9)).moved == 2
    assert [info.id for info in await archived(broker)] == ["a"]


async def test_rule_14_expired_returns_the_other_tasks(broker: Store, path: Path) -> None:
    await put(broker, "abc")
    await broker.dequeue(["default"], 3, 0, "me")
    await corrupt(path, "c")
    expired = await broker.expired(["default"], 9)
    assert [lease.message.id for lease in expired.leases] == ["a", "b"]
    assert [info.id for info in await archived(broker)] == ["c"]


async def test_rule_14_a_group_is_claimed_without_its_corrupt_member(broker: Store, path: Path) -> None:
    await put(broker, "abcd", TaskState.AGGREGATING, "g")
    await corrupt(path, "b")
    claimed = await broker.claim_groups(["default"], GroupRule(max_size=3), 9)
    assert [[member.id for member in batch.messages] for batch in claimed.batches] == [["a", "c", "d"]]
    assert [info.id for info in await archived(broker)] == ["b"]


async def test_rule_14_inspection_shows_a_corrupt_task_in_its_state(broker: Store, path: Path) -> None:
    await put(broker, "ab")
    await corrupt(path, "a")
    [found] = await broker.find([TaskRef("default", "a")])
    assert found is not None
    assert (found.type, found.state) == (CORRUPT_TYPE, TaskState.PENDING)
    listed = await broker.tasks(Where("default", TaskState.PENDING), Page())
    assert [info.type for info in listed] == [CORRUPT_TYPE, "kind"]


async def test_a_quarantined_task_can_be_deleted_and_frees_its_lock(broker: Store, path: Path) -> None:
    entry = Entry(TaskMessage("a", "kind", unique_key="key"), unique_ttl=60)
    await broker.enqueue([entry])
    await corrupt(path, "a")
    await broker.dequeue(["default"], 1, 30, "me")
    assert await broker.move(Action.DELETE, [TaskRef("default", "a")]) == [Moved.DONE]
    await broker.enqueue([entry])
    [stats] = await broker.stats(["default"])
    assert (stats.pending, stats.archived) == (1, 0)


async def test_a_full_store_refuses_whole_batches_and_can_be_drained(path: Path) -> None:
    policy = Policy()
    async with open_broker(f"sqlite:///{path}?max_bytes=1048576") as broker:
        taken = 0

        async def fill() -> None:
            nonlocal taken
            while True:
                ids = [f"{taken}-{n}" for n in range(10)]
                await broker.enqueue([Entry(TaskMessage(id, "kind", payload=bytes(4_000))) for id in ids])
                taken += 10

        with pytest.raises(StorageFull, match="max_bytes"):
            await fill()
        # The batch that did not fit changed nothing.
        [stats] = await broker.stats(["default"])
        assert stats.pending == taken > 100
        # A full store refuses new tasks; processing continues.
        while leases := await broker.dequeue(["default"], 256, 30, "a server with quite a long name"):
            now = broker.clock.now()
            assert all(await broker.settle([decide(lease, DONE, now, policy) for lease in leases]))
        await put(broker, "z")
    assert (await to_thread(path.stat)).st_size <= 1_048_576


#: Opens the file and enqueues from several callers while no file may grow beyond a limit; prints the errors.
UNDER_A_LIMIT = """
import asyncio, resource, sys
from asynqio.brokers import open_broker
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry

async def main():
    async with open_broker(sys.argv[1]) as broker:
        entries = [Entry(TaskMessage(f"{n}", "kind", payload=bytes(20_000))) for n in range(30)]
        answers = await asyncio.gather(*(broker.enqueue([one]) for one in entries), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                print(type(answer).__name__, answer)
        await broker.stats(["default"])

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit for the size of files")
@pytest.mark.parametrize("limit", [4_000, 70_000])
async def test_the_io_error_itself_is_reported(path: Path, limit: int) -> None:
    async with open_broker(f"sqlite:///{path}") as broker:
        await put(broker, "a")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UNDER_A_LIMIT, f"sqlite:///{path}", str(limit), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    seen = set(output.decode().splitlines())
    assert len(seen) == 1, "the cause, whatever it made impossible afterwards"
    assert "BrokerUnavailable" in (error := seen.pop())
    assert "disk I/O error (SQLITE_IOERR_" in error
    async with open_broker(f"sqlite:///{path}") as broker:
        assert (await broker.stats(["default"]))[0].pending >= 1
