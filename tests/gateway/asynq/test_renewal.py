"""The renewal of leases is not stopped by the errors of one client's part of the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from asynqio.brokers.memory import MemoryBroker
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerRefused, BrokerUnavailable
from asynqio.gateway.asynq.dispatch import answer
from asynqio.gateway.asynq.session import Session
from asynqio.gateway.duties.renewal import Renewal
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.authenticate import ANONYMOUS, AuthSettings
from asynqio.testing import FakeClock
from tests.gateway.asynq.test_claims import drop

LEASE = 30.0


class RefusingBroker(MemoryBroker):
    """Refuses to renew leases of the queue `bad`, or does not answer to other calls than `renew`."""

    away = False

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        if any(one.message.queue == "bad" for one in leases):
            raise BrokerRefused("no permission")
        return await super().renew(leases, lease)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        if self.away:
            raise BrokerUnavailable("no reply")
        return await super().paused_types(queues)


async def take(session: Session, queue: str) -> str:
    return await answer(session, json.dumps({"type": "dequeue", "data": {"queues": [queue]}}))


async def test_leases_of_other_queues_are_renewed(clock: FakeClock) -> None:
    async with RefusingBroker(clock=clock) as store, Gateway(store, AuthSettings(), lease=LEASE) as gateway:
        await store.enqueue([Entry(TaskMessage(queue, "t", queue=queue)) for queue in ("bad", "good")])
        session = Session(gateway, ANONYMOUS, drop)
        for queue in ("bad", "good"):
            assert f'"id":"{queue}"' in await take(session, queue)
        renewal = Renewal(
            gateway.clock, gateway.held, gateway.unsettled, gateway.sessions.renew_batches, lease=LEASE
        )
        clock.advance(LEASE * 0.9)
        with pytest.raises(BrokerRefused):
            await renewal.once()
        clock.advance(LEASE * 0.2)
        expired = await store.expired(["bad", "good"], 10)
        assert [lease.message.id for lease in expired.leases] == ["bad"]


async def test_a_task_that_cannot_be_handed_out_goes_back_at_once(clock: FakeClock) -> None:
    async with RefusingBroker(clock=clock) as store, Gateway(store, AuthSettings(), lease=LEASE) as gateway:
        await store.enqueue([Entry(TaskMessage("a", "t"))])
        session = Session(gateway, ANONYMOUS, drop)
        store.away = True
        assert '"type":"error"' in await take(session, "default")
        store.away = False
        while '"data":null' in (text := await take(session, "default")):  # noqa: ASYNC110
            await asyncio.sleep(0)  # the gateway settles in the background
        assert '"id":"a"' in text
        assert '"retried":0' in text
