"""A consumer that aggregates groups by itself: claim, read, enqueue, delete."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from asynqio.brokers.contract.broker import Store
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.running import RunningGateway


def check(group: str, **rule: int) -> dict[str, object]:
    """What a consumer asks every 5 seconds, for each group."""
    return {
        "queue": "default",
        "group": group,
        "aggregation_delay_seconds": 60,
        "max_delay_seconds": 0,
        "max_size": 0,
        **rule,
    }


def batch(group: str, id: object) -> dict[str, object]:
    return {"queue": "default", "group": group, "set_id": id}


async def add(client: ProtocolClient, group: str, *payloads: bytes) -> None:
    for payload in payloads:
        await client.enqueue("add_to_group", group=group, payload=base64.b64encode(payload).decode())


async def claim(client: ProtocolClient, group: str, **rule: int) -> Any:
    answer = await client.call("aggregation_check", check(group, **rule))
    assert answer["type"] == "aggregation_set_id"
    return answer["data"]


async def test_a_ripe_group_is_claimed_read_and_deleted(gateway: RunningGateway, store: Store) -> None:
    async with ProtocolClient(gateway.address) as client:
        await add(client, "daily", b"1", b"2")
        await add(client, "daily2", b"3")
        assert (await client.call("list_groups", {"queue": "default"}))["data"] == ["daily", "daily2"]
        assert await claim(client, "daily", max_size=3) is None
        id = await claim(client, "daily", max_size=2)
        answer = await client.call("read_aggregation_set", batch("daily", id))
        assert answer["type"] == "aggregation_set"
        assert [base64.b64decode(task["payload"]) for task in answer["data"]] == [b"1", b"2"]
        assert {task["group_key"] for task in answer["data"]} == {"daily"}
        await client.enqueue(task_id="merged")
        await client.succeed("delete_aggregation_set", batch("daily", id))
        assert (await client.call("list_groups", {"queue": "default"}))["data"] == ["daily2"]
        assert (await client.error("delete_aggregation_set", batch("daily", id))).endswith('"NOT": FOUND')
    [stats] = await store.stats(["default"])
    assert (stats.aggregating, stats.pending) == (1, 1)


async def test_no_group_no_batch(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        assert (await client.call("list_groups", {"queue": "nix"}))["data"] == []
        assert await claim(client, "nix", max_size=1) is None
        answer = await client.call("read_aggregation_set", batch("nix", "unknown"))
        assert answer == {"type": "aggregation_set", "data": []}


async def test_the_batch_of_a_client_that_leaves_returns_to_its_group(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await add(client, "g", b"1")
        assert await claim(client, "g", max_size=1) is not None
    async with ProtocolClient(gateway.address) as client, asyncio.timeout(20):
        while await claim(client, "g", max_size=1) is None:  # noqa: ASYNC110 - groups have no signal
            await asyncio.sleep(0.02)
