"""A script call runs once, however often and however late it arrives."""

from __future__ import annotations

import os
from typing import Any

import pytest

from asynqio.brokers.contract.results import Admission
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.call_slots import SLOT_AGE, CallSlot, CallSlots
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.core.task.message import TaskState
from tests.builders import entry, settlement
from tests.conformance.helpers import ids, put, take

DEFAULT = queue_keys("default")


async def call(broker: RedisBroker, slot: CallSlot, number: int, id: str) -> Any:
    """Enqueue a task by the call of this number."""
    await (await broker._session()).registry.register([DEFAULT.name])
    keys = [slot.key, DEFAULT.pending, DEFAULT.task(id)]
    args: list[Arg] = [number, DEFAULT.prefix, "1.0", "1", 0, id, encode_task(entry(id).message), b""]
    return await (await broker._session()).run(LUA.enqueue, keys, args)


async def finish(broker: RedisBroker) -> None:
    [lease] = await take(broker)
    assert await broker.settle([settlement(lease)]) == [True]


def new_slot() -> CallSlot:
    return CallSlots().take(DEFAULT, 0.0)


async def test_a_call_that_arrives_again_gives_the_same_reply(broker: RedisBroker) -> None:
    slot = new_slot()
    assert await call(broker, slot, 1, "a") == b"1+"
    await finish(broker)
    assert await call(broker, slot, 1, "a") == b"1"
    assert await ids(broker, TaskState.PENDING) == []


async def test_a_call_that_never_arrived_is_admitted_although_a_later_one_was(broker: RedisBroker) -> None:
    lost, later = new_slot(), new_slot()
    await call(broker, later, 1, "b")
    assert await call(broker, lost, 1, "a") == b"1"
    assert await ids(broker, TaskState.PENDING) == ["b", "a"]


async def test_a_call_that_arrives_after_its_slot_was_reused_is_refused(broker: RedisBroker) -> None:
    """The client has given the call up; its packets were under way all the time."""
    slot = new_slot()
    await call(broker, slot, 2, "b")
    with pytest.raises(RedisError, match="arrived too late"):
        await call(broker, slot, 1, "a")
    assert await ids(broker, TaskState.PENDING) == ["b"]
    assert await call(broker, slot, 10, "c") == b"1"  # numbers are not compared as text


async def test_a_call_that_failed_has_not_run(broker: RedisBroker) -> None:
    slot, command = new_slot(), (await broker._session()).redis.command
    await call(broker, slot, 1, "a")
    await command(DEFAULT.pending, "RENAME", DEFAULT.pending, "asynq:{default}:kept")
    await command(DEFAULT.pending, "SET", DEFAULT.pending, "damaged")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await call(broker, slot, 2, "b")
    await command(DEFAULT.pending, "RENAME", "asynq:{default}:kept", DEFAULT.pending)
    assert await call(broker, slot, 2, "b") == b"1"
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]


async def test_the_same_id_twice_in_a_call_is_a_conflict(broker: RedisBroker) -> None:
    answers = await broker.enqueue([entry("a"), entry("a"), entry("b")])
    assert answers == [Admission.ACCEPTED, Admission.ID_CONFLICT, Admission.ACCEPTED]


async def test_redis_forgets_a_slot_after_ten_minutes(broker: RedisBroker) -> None:
    slot = new_slot()
    await call(broker, slot, 1, "a")
    ttl = await (await broker._session()).redis.command(slot.key, "TTL", slot.key)
    assert 590 < ttl <= 600


async def test_calls_one_after_the_other_use_one_slot(broker: RedisBroker) -> None:
    for id in "abc":
        assert await broker.enqueue([entry(id)]) == [Admission.ACCEPTED]
    assert len(await slots_of(broker)) == 1


async def test_removing_a_queue_removes_its_slots(broker: RedisBroker) -> None:
    await put(broker, entry("a"))
    await broker.remove_queue("default", force=True)
    assert await slots_of(broker) == []
    # and the queue can be used again by the same client
    await put(broker, entry("a"))
    assert await broker.queues() == ["default"]


async def test_a_rejected_entry_can_be_enqueued_later(broker: RedisBroker) -> None:
    await put(broker, entry("a"))
    assert await broker.enqueue([entry("a")]) == [Admission.ID_CONFLICT]
    await finish(broker)
    await put(broker, entry("a"))


async def slots_of(broker: RedisBroker) -> list[bytes]:
    found: list[bytes] = await (await broker._session()).redis.command(
        DEFAULT.pending, "KEYS", "asynq:{default}:asynqio:call:*"
    )
    return found


def test_a_slot_belongs_to_one_call_at_a_time() -> None:
    slots = CallSlots()
    one, two = slots.take(DEFAULT, 0.0), slots.take(DEFAULT, 0.0)
    other = slots.take(queue_keys("other"), 0.0)
    assert len({one.key, two.key, other.key}) == 3
    two.release()
    again = slots.take(DEFAULT, 0.0)
    assert (again.key, again.number) == (two.key, 2)
    assert other.key.startswith("asynq:{other}:asynqio:call:")


def test_a_slot_is_not_used_for_longer_than_redis_remembers_it() -> None:
    slots = CallSlots()
    first = slots.take(DEFAULT, 1_000.0)
    first.release()
    assert slots.take(DEFAULT, 1_000.0 + SLOT_AGE - 1) is first
    first.release()
    later = slots.take(DEFAULT, 1_000.0 + SLOT_AGE)
    assert (later.key != first.key, later.number) == (True, 1)


def test_a_forked_process_has_slots_of_its_own() -> None:
    slots = CallSlots()
    slot = slots.take(DEFAULT, 0.0)
    key = slot.key.encode()
    slot.release()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, slots.take(DEFAULT, 0.0).key.encode())
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reading, 1_000)
    os.close(reading)
    os.close(writing)
    assert found.startswith(b"asynq:{default}:asynqio:call:")
    assert found != key
    assert slots.take(DEFAULT, 0.0).key.encode() == key
