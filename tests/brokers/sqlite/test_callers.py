"""Callers of a SQLite broker: cancelled tasks, blocked event loops, concurrent calls, killed processes."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.core.groups import GroupRule
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import QueueNotFound

SOON = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[Store]:
    async with open_broker(f"sqlite:///{path}") as broker:
        yield broker


def entries(count: int, prefix: str = "t") -> list[Entry]:
    return [Entry(TaskMessage(f"{prefix}{number}", "kind")) for number in range(count)]


def lock(path: Path) -> sqlite3.Connection:
    """Take the write lock, as another process would."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


# --- cancellation -------------------------------------------------------------------------------------


async def test_a_call_cancelled_before_its_transaction_has_no_effect(broker: Store, path: Path) -> None:
    other = await to_thread(lock, path)
    call = asyncio.ensure_future(broker.enqueue(entries(3)))
    await asyncio.sleep(0)
    call.cancel()
    # It returns at once, although another connection still holds the lock.
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
    await to_thread(other.close)
    await broker.enqueue(entries(1, "later"))
    assert [info.id for info in await broker.tasks(Where("default", TaskState.PENDING), Page())] == ["later0"]


@pytest.mark.parametrize("steps", range(6))
async def test_leases_of_a_cancelled_dequeue_are_pending_again(broker: Store, steps: int) -> None:
    await broker.enqueue(entries(5))
    for _ in range(20):
        call = asyncio.ensure_future(broker.dequeue(["default"], 3, 30, "me"))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        if not call.cancelled():
            break
        # Pending again at once, in their old order.
        pending = await broker.tasks(Where("default", TaskState.PENDING), Page())
        assert [info.id for info in pending] == ["t0", "t1", "t2", "t3", "t4"]


async def test_batches_of_a_cancelled_claim_return_to_their_group(broker: Store) -> None:
    await broker.enqueue([Entry(TaskMessage("a", "kind", group="g"), TaskState.AGGREGATING)])
    for steps in range(6):
        call = asyncio.ensure_future(broker.claim_groups(["default"], GroupRule(grace=0), 9))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        if call.cancelled():
            assert [group.size for group in await broker.groups("default")] == [1]


# --- concurrent calls ---------------------------------------------------------------------------------


async def test_a_failing_job_does_not_affect_the_jobs_of_the_same_transaction(
    broker: Store, path: Path
) -> None:
    # Given jobs that wait at the same time, so that they share a transaction
    other = await to_thread(lock, path)
    calls = [
        asyncio.ensure_future(broker.enqueue(entries(2))),
        asyncio.ensure_future(broker.remove_queue("nowhere")),
        asyncio.ensure_future(broker.enqueue(entries(3))),
    ]
    await asyncio.sleep(0)
    await to_thread(other.close)
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert first == [Admission.ACCEPTED] * 2
    assert isinstance(second, QueueNotFound)
    assert third == [Admission.ID_CONFLICT] * 2 + [Admission.ACCEPTED]


async def test_a_clone_works_while_the_first_event_loop_is_blocked(broker: Store) -> None:
    async def enqueue_with_clone() -> list[Admission | Replaced]:
        async with broker.clone() as clone:
            return await clone.enqueue(entries(1))

    go = threading.Event()
    answers: list[Admission | Replaced] = []

    def other_loop() -> None:
        go.wait(SOON)
        answers.extend(asyncio.run(enqueue_with_clone()))

    thread = threading.Thread(target=other_loop)
    await to_thread(thread.start)
    # Block this event loop, as a CPU-bound handler on the loop would.
    go.set()
    end = time.monotonic() + SOON
    while thread.is_alive() and time.monotonic() < end:
        pass
    assert answers == [Admission.ACCEPTED]
    assert (await broker.stats(["default"]))[0].pending == 1


async def test_closing_finishes_submitted_calls(path: Path) -> None:
    async with open_broker(f"sqlite:///{path}") as broker:
        call = asyncio.ensure_future(broker.enqueue(entries(500)))
        await asyncio.sleep(0)
    assert await call == [Admission.ACCEPTED] * 500


# --- killed processes ---------------------------------------------------------------------------------

#: Enqueues, dequeues and settles in a loop, and prints how many tasks were accepted.
BUSY = """
import asyncio, sys
from asynqio.brokers import open_broker
from asynqio.core.lifecycle import *
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry

async def main(url, name):
    async with open_broker(url) as broker:
        policy, number = Policy(), 0
        async def work():
            while True:
                leases = await broker.dequeue(["busy"], 50, 3600, name)
                now = broker.clock.now()
                outcomes = [DONE, Failed(ValueError("no")), Aborted()]
                await broker.settle([decide(lease, outcomes[n % 3], now, policy) for n, lease in enumerate(leases)])
                await broker.forward(["busy"], 10)
        worker = asyncio.create_task(work())
        while not worker.done():
            await broker.enqueue([Entry(TaskMessage(f"{name}-{number + n}", "k", "kept")) for n in range(20)])
            await broker.enqueue([Entry(TaskMessage(f"{name}-{number + n}", "k", "busy")) for n in range(20)])
            number += 20
            print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("round", range(3))
async def test_killed_processes_leave_an_intact_file_with_every_accepted_task(path: Path, round: int) -> None:
    url = f"sqlite:///{path}"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", BUSY, url, f"p{number}", stdout=asyncio.subprocess.PIPE
        )
        for number in range(2)
    ]
    accepted = []
    for process in processes:
        assert process.stdout is not None
        # Kill it at whatever point it is after N lines.
        for _ in range(5 + 7 * round):
            line = await asyncio.wait_for(process.stdout.readline(), SOON)
        process.kill()
        rest = (await process.communicate())[0].split()
        accepted.append(int(rest[-1] if rest else line))
    async with open_broker(url) as broker:
        [kept, busy] = await broker.stats(["kept", "busy"])
        assert kept.pending >= sum(accepted)
        assert kept.pending % 20 == 0  # each call is one transaction
        assert busy.size > 0
        assert await broker.enqueue(entries(1)) == [Admission.ACCEPTED]
    assert await to_thread(_problems, path) == [("ok",)]


def _problems(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("PRAGMA integrity_check").fetchall()
