"""The blocking client enqueues as the async one does, with every option, from any number of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import asynqio
from asynqio import DuplicateTask, EnqueueError, ExponentialRetry, Task, TaskInfo, TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.sync import Client
from asynqio.testing import FakeClock
from asynqio.testing.clock import START
from tests.conformance.conftest import broker_url, make_store

#: Calls of `enqueue` in a row, as payload and options.
Calls = Sequence[tuple[Any, dict[str, Any]]]
CALLS: dict[str, Calls] = {
    "no options": [({}, {}), (None, {}), ("text", {})],
    "queue": [({}, {"queue": "low"}), ({}, {"queue": "high"})],
    "limits": [({}, {"max_retry": 3, "timeout": 5.5}), ({}, {"deadline": START + 60})],
    "later": [({}, {"process_in": 60}), ({}, {"process_at": START + 90.5})],
    "id": [({}, {"task_id": "a"}), ({}, {"task_id": "a"}), ({}, {"task_id": "b"})],
    "unique": [({}, {"unique": 60}), ({}, {"unique": 60}), ({"n": 1}, {"unique": 60})],
    "unique key": [({"n": 1}, {"unique": 60, "unique_key": "k"}), ({"n": 2}, {"unique_key": "k"})],
    "throttle": [({}, {"unique": 60, "unique_until": "expired"})] * 2,
    "until started": [({}, {"unique": 60, "unique_until": "started"})] * 2,
    "replace": [
        ({"n": 1}, {"unique": 60, "unique_key": "k", "process_in": 9}),
        ({"n": 2}, {"unique": 60, "unique_key": "k", "process_in": 5, "on_duplicate": "replace"}),
    ],
    "reschedule": [
        ({"n": 1}, {"unique": 60, "unique_key": "k", "process_in": 9}),
        ({"n": 2}, {"unique": 60, "unique_key": "k", "process_in": 5, "on_duplicate": "reschedule"}),
    ],
    "replace finished": [({}, {"task_id": "a", "replace_finished": True})] * 2,
    "group": [({}, {"group": "g"}), ({}, {"group": "g", "process_in": 5})],
    "kept": [({}, {"retention": 60.5, "headers": {"user": "ann"}, "retry": ExponentialRetry(2, 60)})],
    "refused": [
        ({}, {"queue": ""}),
        ({}, {"max_retry": -1}),
        ({}, {"process_in": 5, "process_at": START + 5}),
        ({}, {"priority": 3}),
        ("x" * 2_000, {}),
    ],
}


def facts(info: TaskInfo) -> dict[str, Any]:
    """A task without what differs between any two: random ids."""
    return {
        field: getattr(info, field)
        for field in info.__struct_fields__
        if field != "id" or info.id in ("a", "b")
    }


def refusal(error: EnqueueError) -> tuple[type[EnqueueError], str]:
    return type(error), str(error)


async def stored(broker: Store) -> list[dict[str, Any]]:
    """Everything in a store."""
    inspector = asynqio.Inspector(broker)
    found = []
    for stats in sorted(await inspector.queues(), key=lambda stats: stats.queue):
        for state in TaskState:
            names = [group.group for group in await inspector.groups(stats.queue)]
            for group in names if state is TaskState.AGGREGATING else [""]:
                found += await inspector.tasks(stats.queue, state, group=group, size=100)
    return [facts(info) for info in found]


@pytest.fixture
def client(kind: str, url: str, clock: FakeClock) -> Iterator[Client]:
    with Client(make_store(kind, url, clock), max_payload=1_000).open(own_broker=True) as client:
        yield client


async def expected(kind: str, url: str, clock: FakeClock, calls: Calls) -> list[object]:
    """What the async client does."""
    async with make_store(kind, url, clock) as store:
        client, found = asynqio.Client(store, max_payload=1_000), list[object]()
        for value, options in calls:
            try:
                found.append(facts(await client.enqueue(Task.json("a", value), **options)))
            except EnqueueError as error:
                found.append(refusal(error))
        return [*found, *await stored(store)]


@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS.keys())
def test_every_option_does_what_it_does_for_the_async_client(
    client: Client, kind: str, tmp_path: Path, clock: FakeClock, calls: Calls
) -> None:
    found: list[object] = []
    for value, options in calls:
        try:
            found.append(facts(client.enqueue(Task.json("a", value), **options)))
        except EnqueueError as error:
            found.append(refusal(error))
    found += client._through.call(stored, client.broker)
    client.close()
    another = tmp_path / "another"
    another.mkdir()
    assert found == asyncio.run(expected(kind, broker_url(kind, another), clock, calls))


def test_threads_lose_nothing_and_double_nothing(client: Client) -> None:
    """Each thread's tasks are stored in the order of its calls."""

    def enqueue(thread: int) -> list[TaskInfo]:
        return [
            client.enqueue(Task.json("a", [thread, number]), queue=f"q{thread % 3}", retention=number)
            for number in range(30)
        ]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(enqueue, range(12)))
    for thread, infos in enumerate(answers):
        assert [(info.load(), info.retention) for info in infos] == [
            ([thread, number], number) for number in range(30)
        ]
    waiting: list[TaskInfo] = []
    for queue in ("q0", "q1", "q2"):
        waiting += client._through.call(
            asynqio.Inspector(client.broker).tasks, queue, TaskState.PENDING, size=1_000
        )
    assert sorted(info.id for info in waiting) == sorted(info.id for infos in answers for info in infos)
    for thread, infos in enumerate(answers):
        assert [info.id for info in waiting if info.load()[0] == thread] == [info.id for info in infos]


def test_one_of_many_threads_gets_a_lock(client: Client) -> None:
    def enqueue(number: int) -> bool:
        try:
            client.enqueue(Task.json("a", "same"), unique=60)
        except DuplicateTask:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(enqueue, range(60))) == 1


def test_a_client_can_be_opened_again(kind: str, url: str, clock: FakeClock) -> None:
    client = Client(make_store(kind, url, clock))
    client.open(own_broker=True)
    client.enqueue(Task("a"), task_id="a")
    client.close()
    with pytest.raises(RuntimeError, match="not open"):
        client.enqueue(Task("a"))
    client.open(own_broker=True)
    assert client.enqueue(Task("a"), task_id="b").id == "b"
    assert client.find("b").state is TaskState.PENDING
    client.close()
