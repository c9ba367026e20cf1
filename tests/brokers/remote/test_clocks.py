"""The clock of the gateway differs from that of the client: leases are renewed in time by either."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.limits import ARCHIVE_LIMIT
from asynqio.core.groups import BATCH_LEASE, GroupRule
from asynqio.testing import FakeClock
from tests.brokers.remote.support.gateway import GatewayServer
from tests.builders import entry, settlement
from tests.conformance.helpers import put, take


@pytest.fixture(params=[-3_600.0, 3_600.0], ids=["behind", "ahead"])
def theirs(request: pytest.FixtureRequest, clock: FakeClock) -> FakeClock:
    """The clock of the gateway."""
    return FakeClock(clock.now() + float(request.param))


@pytest.fixture
async def broker(gateway: GatewayServer, clock: FakeClock, theirs: FakeClock) -> AsyncIterator[Store]:
    gateway.app.add("ws", open_broker("memory://?archive_limit=7", clock=theirs))
    async with open_broker(gateway.url("ws"), clock=clock) as broker:
        yield broker


async def test_leases_expire_by_the_clock_of_the_client(
    broker: Store, clock: FakeClock, theirs: FakeClock
) -> None:
    await put(broker, entry("a"), entry("b"))
    [one, _] = await take(broker, 2, lease=30.0)
    assert one.expires_at == clock.now() + 30.0
    for each in (clock, theirs):
        each.advance(10.0)
    assert await broker.renew([one], 30.0) == [True]
    assert one.expires_at == clock.now() + 30.0
    for each in (clock, theirs):
        each.advance(21.0)
    expired = await broker.expired(["default"], 9)
    assert [(lease.message.id, lease.expires_at) for lease in expired.leases] == [("b", clock.now() - 1.0)]
    assert expired.next_at == clock.now() + 9.0
    assert await broker.settle([settlement(one)]) == [True]


async def test_next_times_are_those_of_the_client(broker: Store, clock: FakeClock, theirs: FakeClock) -> None:
    await put(broker, entry("a", at=theirs.now() + 60.0), entry("b", group="g"))
    assert (await broker.forward(["default"], 9)).next_at == clock.now() + 60.0
    assert (await broker.claim_groups(["default"], GroupRule(grace=5.0), 9)).next_at == clock.now() + 5.0
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 9)).batches
    assert batch.expires_at == clock.now() + BATCH_LEASE
    assert (await broker.forward(["other"], 9)).next_at is None


async def test_the_archive_limit_is_that_of_the_gateway(broker: Store) -> None:
    assert broker.archive_limit == 7
    assert broker.clone().archive_limit == ARCHIVE_LIMIT  # until it is open
