"""The six requests that enqueue, before each store."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from asynqio import TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.core.task.message import TaskRef
from tests.gateway.asynq.client import ProtocolClient, task_fields
from tests.gateway.running import RunningGateway


async def stored(store: Store, task: dict[str, Any]) -> Any:
    [info] = await store.find([TaskRef(task["queue"], task["id"])])
    assert info is not None
    return info


async def test_a_task_is_stored_as_it_was_sent(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        task = await client.enqueue(task_id="mail-7", queue="low", headers={"X-Trace": "1"})
    assert task == {"id": "mail-7", "queue": "low", "task_type": "email:send", "state": "pending"}
    info = await stored(store, task)
    assert info.payload == b'{"to":"a@b.c"}'
    assert (info.type, info.max_retry, info.headers) == ("email:send", 3, {"x-trace": "1"})


async def test_keys_that_are_left_out_take_the_defaults(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        answer = await client.call("enqueue", {"task_type": "t", "payload": ""})
    info = await stored(store, answer["data"])
    assert (info.queue, info.max_retry, info.timeout, info.payload) == ("default", 25, 1800.0, None)


async def test_unknown_keys_are_ignored(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.send('{"type":"ping","more":{"a":[1]}}')
        assert await client.receive() == {"type": "pong"}
        await client.enqueue(color="blue")


async def test_a_negative_max_retry_is_none(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        assert (await stored(store, await client.enqueue(max_retry=-1))).max_retry == 0


async def test_the_extension_sets_timeout_deadline_and_retention(
    gateway: RunningGateway, store: Store
) -> None:
    deadline = int(time.time()) + 3_600
    async with ProtocolClient(gateway.address) as client:
        info = await stored(store, await client.enqueue(timeout=90, deadline=deadline, retention=600))
    assert (info.timeout, info.deadline, info.retention) == (90, deadline, 600)


async def test_a_scheduled_task_waits_for_its_moment(gateway: RunningGateway, store: Store) -> None:
    at = int(time.time()) + 3_600
    async with ProtocolClient(gateway.address) as client:
        task = await client.enqueue("schedule", process_at=at)
        assert task["state"] == "scheduled"
        assert (await stored(store, task)).next_process_at == at
        assert (await client.enqueue("schedule", process_at=1))["state"] == "pending"


@pytest.mark.parametrize(
    ("type", "fields", "state"),
    [
        ("enqueue_unique", {}, "pending"),
        ("schedule_unique", {"process_at": 4_000_000_000}, "scheduled"),
        ("add_to_group_unique", {"group": "g"}, "aggregating"),
    ],
)
@pytest.mark.parametrize("ttl", [0, 60])
async def test_a_lock_refuses_the_second_task(
    gateway: RunningGateway, type: str, fields: dict[str, object], state: str, ttl: int
) -> None:
    async with ProtocolClient(gateway.address) as client:
        assert (await client.enqueue(type, ttl_seconds=ttl, **fields))["state"] == state
        text = await client.error(type, task_fields(ttl_seconds=ttl, **fields))
        assert text == "Broker error: Task already exists"


async def test_the_lock_of_a_task_without_payload_is_that_of_go_and_rust(
    gateway: RunningGateway, store: Store
) -> None:
    async with ProtocolClient(gateway.address) as client:
        task = await client.enqueue("enqueue_unique", ttl_seconds=60, payload="", task_type="t")
    holder = await store.lock_holder("default", "asynq:{default}:unique:t:")
    assert holder is not None
    assert holder.id == task["id"]


async def test_a_task_joins_a_group(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        task = await client.enqueue("add_to_group", group="daily")
    info = await stored(store, task)
    assert (task["state"], info.state, info.group) == ("aggregating", TaskState.AGGREGATING, "daily")


async def test_an_id_is_accepted_once(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.enqueue(task_id="one")
        text = await client.error("enqueue", task_fields(task_id="one"))
        assert text == "Broker error: Task ID conflicts with another task"


async def test_headers_with_several_values_are_joined(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        info = await stored(store, await client.enqueue(headers={"A": ["1", "2"], "b": []}))
    assert info.headers == {"a": "1, 2", "b": ""}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"task_type": " "}, "Invalid message: Invalid task: type ' '"),
        ({"task_type": None}, "Invalid message: Expected `str`, got `null` - at `$.data.task_type`"),
        ({"payload": "%"}, "Invalid message: Invalid base64 payload:"),
        ({"payload": 7}, "Invalid message: Expected `bytes`, got `int` - at `$.data.payload`"),
        ({"queue": ""}, "Invalid message: Invalid task: "),
        ({"max_retry": "3"}, "Invalid message: Expected `int | null`, got `str` - at `$.data.max_retry`"),
        ({"max_retry": 1 << 40}, "Invalid message: Expected `int`"),
        ({"headers": {"a": 1}}, "Invalid message: "),
    ],
)
async def test_an_invalid_field_is_named_and_the_connection_stays(
    gateway: RunningGateway, fields: dict[str, object], text: str
) -> None:
    async with ProtocolClient(gateway.address) as client:
        assert (await client.error("enqueue", task_fields(**fields))).startswith(text)
        await client.enqueue()


async def test_a_payload_beyond_the_limit_is_refused(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        largest = base64.b64encode(b"x" * 1_048_576).decode()
        await client.enqueue(payload=largest)
        text = await client.error("enqueue", task_fields(payload=base64.b64encode(b"x" * 1_048_577).decode()))
        assert "1,048,577 bytes" in text
