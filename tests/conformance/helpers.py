"""Helpers of the conformance tests: short calls on a broker, and checks of its state."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.contract.signals import Watch
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import QueueNotFound
from asynqio.testing import FakeClock
from tests.builders import abandoned, archived, entry, failed, settlement

T = TypeVar("T")
EVERYTHING = Page(size=100_000)
#: Upper limit in real seconds for what must happen; a test that reaches it fails.
TIMEOUT = 20.0


def as_stored(kind: str, message: TaskMessage) -> TaskMessage:
    """The message as a store of this kind returns it: Redis stores whole seconds."""
    if "redis" not in kind:
        return message
    return msgspec.structs.replace(
        message,
        timeout=math.ceil(message.timeout),
        deadline=math.ceil(message.deadline),
        retention=math.ceil(message.retention),
        last_failed_at=int(message.last_failed_at),
        completed_at=int(message.completed_at),
    )


async def put(broker: Store, *entries: Entry) -> None:
    """Enqueue, and assert that all entries are accepted."""
    assert await broker.enqueue(entries) == [Admission.ACCEPTED] * len(entries)


async def take(
    broker: Store,
    limit: int = 1,
    *,
    queues: Sequence[str] = ("default",),
    lease: float = 30.0,
    owner: str = "server-1",
) -> list[Lease]:
    return await broker.dequeue(queues, limit, lease, owner)


async def find_task(broker: Store, id: str, queue: str = "default") -> TaskInfo | None:
    [info] = await broker.find([TaskRef(queue, id)])
    return info


async def get_task(broker: Store, id: str, queue: str = "default") -> TaskInfo:
    """The task, which must exist."""
    info = await find_task(broker, id, queue)
    assert info is not None, f"task {id!r} is not in queue {queue!r}"
    return info


async def state_of(broker: Store, id: str, queue: str = "default") -> TaskState | None:
    info = await find_task(broker, id, queue)
    return None if info is None else info.state


async def ids(broker: Store, state: TaskState, queue: str = "default", group: str = "") -> list[str]:
    """The ids of the tasks of a state, in listed order."""
    return [info.id for info in await broker.tasks(Where(queue, state, group), EVERYTHING)]


async def snapshot(broker: Store) -> dict[str, Any]:
    """Everything that inspection shows, to assert that nothing changed. Asserts rule 1 as well."""
    seen: dict[str, Any] = {"servers": await broker.servers()}
    for queue in await broker.queues():
        [stats] = await broker.stats([queue])
        tasks = {state: await broker.tasks(Where(queue, state), EVERYTHING) for state in TaskState}
        listed = [info for infos in tasks.values() for info in infos]
        refs = [info.ref for info in listed]
        assert len(set(refs)) == len(refs), "a task is in two states at once"
        for state, infos in tasks.items():
            counted = getattr(stats, state.value)
            if state in (TaskState.COMPLETED, TaskState.ARCHIVED):
                assert len(infos) <= counted, "stats also count what outlived its retention, until a sweep"
            else:
                assert len(infos) == counted
        assert await broker.find(refs) == listed
        assert all(info.state is state for state, infos in tasks.items() for info in infos)
        history = await broker.history(queue, 3)
        seen[queue] = (stats, tasks, history, await broker.groups(queue))
    return seen


async def is_locked(broker: Store, like: Entry) -> bool:
    """Whether the uniqueness lock of an entry is held, by enqueueing a probe; leaves nothing behind."""
    probe = entry(
        "lock-probe",
        type=like.message.type,
        queue=like.message.queue,
        payload=like.message.payload,
        unique=60.0,
    )
    [answer] = await broker.enqueue([probe])
    if answer is Admission.DUPLICATE:
        return True
    assert answer is Admission.ACCEPTED
    await broker.move(Action.DELETE, [probe.message.ref])
    return False


async def put_in_state(broker: Store, clock: FakeClock, state: TaskState, one: Entry) -> None:
    """Bring the task of an entry into `state` by ordinary calls. Its queue must have no other pending task."""
    message = one.message
    await put(broker, one)
    if state in (TaskState.PENDING, TaskState.SCHEDULED, TaskState.AGGREGATING):
        assert one.state is state
        return
    [held] = await take(broker, queues=[message.queue], lease=1e6)
    if state is TaskState.RETRY:
        assert await broker.settle([failed(held, clock.now())]) == [True]
    elif state is TaskState.ARCHIVED:
        assert await broker.settle([archived(held, clock.now())]) == [True]
    elif state is TaskState.COMPLETED:
        assert message.retention, "the entry needs a retention"
        assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert await state_of(broker, message.id, message.queue) is state


def entry_for(state: TaskState, id: str = "", **fields: Any) -> Entry:
    """An entry for `put_in_state`."""
    if state is TaskState.SCHEDULED:
        fields.setdefault("at", 4_000_000_000.0)
    if state is TaskState.AGGREGATING:
        fields.setdefault("group", "news")
    if state is TaskState.COMPLETED:
        fields.setdefault("retention", 3600.0)
    return entry(id, **fields)


async def recover(broker: Store, clock: FakeClock, queue: str = "default") -> list[bool]:
    """Recover expired leases, as every server does."""
    expired = (await broker.expired([queue], 100)).leases
    return await broker.settle([abandoned(held, clock.now()) for held in expired])


async def is_notified(watch: Watch) -> bool:
    """Whether the watch receives a signal within TIMEOUT."""
    return await watch.wait(TIMEOUT)


async def in_other_thread(broker: Store, work: Callable[[Store], Awaitable[T]]) -> T:
    """Run `work` on a clone, in the event loop of another thread."""
    clone = broker.clone()

    async def run() -> T:
        async with clone as other:
            assert isinstance(other, Store)
            return await work(other)

    return await asyncio.to_thread(asyncio.run, run())


async def queue_exists(broker: Store, queue: str) -> bool:
    try:
        await broker.stats([queue])
    except QueueNotFound:
        return False
    return True
