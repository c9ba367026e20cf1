"""The gateway keeps the claims of groups for its clients, on a clock that the test advances."""

from __future__ import annotations

import json
from typing import Any

from asynqio.brokers.memory import MemoryBroker
from asynqio.core.groups import BATCH_LEASE
from asynqio.gateway.asgi import Message
from asynqio.gateway.asynq.dispatch import answer
from asynqio.gateway.asynq.session import Session
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.authenticate import ANONYMOUS, AuthSettings
from asynqio.testing import FakeClock
from tests.gateway.asynq.client import task_fields
from tests.gateway.asynq.test_groups import batch, check


async def drop(message: Message) -> None:
    """A client that reads nothing."""


async def call(session: Session, type: str, data: object) -> Any:
    return json.loads(await answer(session, json.dumps({"type": type, "data": data})))


async def test_a_claim_is_kept_while_its_client_is_connected(clock: FakeClock) -> None:
    async with MemoryBroker(clock=clock) as store, Gateway(store, AuthSettings()) as gateway:
        session = Session(gateway, ANONYMOUS, drop)
        await call(session, "add_to_group", task_fields(group="g"))
        id = (await call(session, "aggregation_check", check("g", max_size=1)))["data"]
        for _ in range(5):
            clock.advance(BATCH_LEASE * 0.7)
            await session.renew_batches()
            await store.sweep(["default"], 100)
        assert await call(session, "delete_aggregation_set", batch("g", id)) == {"type": "success"}


async def test_a_lost_claim_is_forgotten(clock: FakeClock) -> None:
    async with MemoryBroker(clock=clock) as store, Gateway(store, AuthSettings()) as gateway:
        session = Session(gateway, ANONYMOUS, drop)
        await call(session, "add_to_group", task_fields(group="g"))
        id = (await call(session, "aggregation_check", check("g", max_size=1)))["data"]
        clock.advance(BATCH_LEASE + 1)
        await store.sweep(["default"], 100)
        await session.renew_batches()
        assert (await call(session, "read_aggregation_set", batch("g", id)))["data"] == []
        refused = await call(session, "delete_aggregation_set", batch("g", id))
        assert refused["data"]["message"].endswith('"NOT": FOUND')
        assert refused["data"]["message"].startswith("Broker error: batch ")
