"""No script call sends or reads more than a few megabytes, however large the values of single tasks are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved, Output
from asynqio.brokers.redis import chunking
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.chunking import BATCH_BYTES, BYTES_IN_FLIGHT, by_queue, chunks
from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, LogLine
from asynqio.core.lifecycle import Succeeded
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient
from tests.builders import entry, failed, settlement
from tests.conformance.helpers import get_task, put, take

MEGABYTE = 1_000_000
#: Tasks with a megabyte each, and the fewest script calls that carry them.
TASKS = 12
CALLS = 3
IDS = [f"t{number}" for number in range(TASKS)]
REFS = [TaskRef("default", id) for id in IDS]


@pytest.fixture
def counted(go: GoClient) -> Callable[[Awaitable[object]], Awaitable[int]]:
    """Run an operation, and return the number of script calls that Redis received."""

    async def count(work: Awaitable[object]) -> int:
        before = await go.calls("evalsha", "eval")
        await work
        return await go.calls("evalsha", "eval") - before

    return count


Counted = Callable[[Awaitable[object]], Awaitable[int]]


async def test_large_results_are_settled_in_several_calls(
    broker: RedisBroker, clock: FakeClock, counted: Counted
) -> None:
    await put(broker, *(entry(id, retention=60.0) for id in IDS))
    leases = await take(broker, TASKS)
    ends = [settlement(lease, Succeeded(b"r" * MEGABYTE), clock.now()) for lease in leases]
    assert await counted(broker.settle(ends)) >= CALLS
    assert {(await get_task(broker, id)).result for id in IDS} == {b"r" * MEGABYTE}


async def test_settling_reads_the_messages_of_large_tasks_in_several_calls(
    broker: RedisBroker, clock: FakeClock, counted: Counted
) -> None:
    await put(broker, *(entry(id, payload=b"p" * MEGABYTE) for id in IDS))
    leases = await take(broker, TASKS)
    assert await counted(broker.renew(leases, 30.0)) >= CALLS
    assert await counted(broker.settle([failed(lease, clock.now()) for lease in leases[:6]])) >= 2
    assert await counted(broker.settle([settlement(lease) for lease in leases[6:]])) >= 2


async def test_large_output_is_written_in_several_calls(broker: RedisBroker, counted: Counted) -> None:
    await put(broker, *(entry(id, retention=60.0) for id in IDS))
    leases = await take(broker, TASKS)
    outputs = [Output(lease, result=b"r" * MEGABYTE) for lease in leases]
    assert await counted(broker.write_output(outputs)) >= CALLS


async def test_large_tasks_are_transferred_and_read_in_several_calls(
    broker: RedisBroker, counted: Counted
) -> None:
    await put(broker, *(entry(id, payload=b"p" * MEGABYTE) for id in IDS))
    assert await counted(broker.find(REFS)) >= CALLS
    assert await counted(broker.tasks(Where("default", TaskState.PENDING), Page(TASKS))) >= CALLS
    # Each step of a transfer is one call per chunk.
    assert await counted(broker.transfer(REFS, "other")) >= CALLS * 6
    moved = [TaskRef("other", id) for id in IDS]
    infos = await broker.find(moved)
    assert [info and (info.id, info.payload) for info in infos] == [(id, b"p" * MEGABYTE) for id in IDS]
    listed = await broker.tasks(Where("other", TaskState.PENDING), Page(TASKS))
    assert sorted(info.id for info in listed) == sorted(IDS)


async def test_a_transfer_answers_for_each_of_its_large_tasks(broker: RedisBroker, clock: FakeClock) -> None:
    await put(broker, *(entry(id, payload=b"p" * MEGABYTE) for id in IDS[:6]))
    await take(broker, 1)
    await put(broker, entry(IDS[4], queue="other"))
    answers = await broker.transfer(REFS[:7], "other")
    done, taken = Moved.DONE, Moved.ID_CONFLICT
    assert answers == [Moved.WRONG_STATE, done, done, done, taken, done, Moved.NOT_FOUND]


async def test_large_attempt_records_are_read_in_several_calls(
    broker: RedisBroker, clock: FakeClock, counted: Counted
) -> None:
    await put(broker, *(entry(id) for id in IDS))
    line = LogLine(clock.now(), "x" * MEGABYTE)
    record = AttemptRecord(outcome=AttemptOutcome.FAILED, log=[line])
    leases = await take(broker, TASKS)
    ends = [failed(lease, clock.now()) for lease in leases]
    await broker.settle([msgspec.structs.replace(end, record=record) for end in ends])
    assert await counted(broker.attempts(REFS)) >= CALLS
    assert [[run.log for run in runs] for runs in await broker.attempts(REFS)] == [[[line]]] * TASKS


def test_chunks_are_bounded_by_number_and_bytes() -> None:
    assert list(chunks([])) == []
    assert [len(some) for some in chunks(range(500))] == [200, 200, 100]
    assert [len(some) for some in chunks(range(5), [BATCH_BYTES] * 5)] == [1] * 5
    assert [len(some) for some in chunks(range(5), [BATCH_BYTES // 2] * 5)] == [2, 2, 1]
    assert [len(some) for some in chunks(range(3), [0, 9 * BATCH_BYTES, 0])] == [1, 1, 1]


async def test_a_bounded_number_of_bytes_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    waves: list[int] = []
    gather = chunking.gather

    async def counting(calls: list[Awaitable[None]]) -> list[None]:
        waves.append(len(calls))
        return await gather(calls)

    monkeypatch.setattr(chunking, "gather", counting)
    called: list[int] = []

    async def call(queue: str, indexes: object) -> None:
        called.extend(indexes)  # type: ignore[arg-type]

    at_once = BYTES_IN_FLIGHT // BATCH_BYTES
    await by_queue(["default"] * (2 * at_once + 1), call, [BATCH_BYTES] * (2 * at_once + 1))
    assert called == list(range(2 * at_once + 1))
    assert waves == [at_once, at_once, 1]
