"""Settling removes a task from `active` wherever it is, and does not search past tasks that run for hours."""

from __future__ import annotations

import pytest

from asynqio.brokers.redis.broker import RedisBroker
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import entry, settlement
from tests.conformance.helpers import put, take

#: Running tasks; more than the part of the list that is searched from one end first.
RUNNING = 3_000


@pytest.mark.parametrize("at", [0, 1, 255, 256, 1_000, 1_500, 2_000, 2_744, 2_999])
async def test_a_task_is_removed_from_any_place_of_a_long_list(
    broker: RedisBroker, go: GoClient, clock: FakeClock, at: int
) -> None:
    await put(broker, *(entry(f"t{number}") for number in range(RUNNING)))
    leases = await take(broker, RUNNING, lease=1e6)
    # Another place is emptied in the same call.
    ends = [settlement(lease, now=clock.now()) for lease in (leases[at], leases[(at + 7) % RUNNING])]
    assert await broker.settle(ends) == [True, True]
    left = [id.decode() for id in await go("LRANGE", key("active"), 0, -1)]
    gone = {at, (at + 7) % RUNNING}
    assert left == [f"t{number}" for number in reversed(range(RUNNING)) if number not in gone]


async def test_a_short_task_beside_long_ones_is_found_near_the_front(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, *(entry(f"t{number}") for number in range(RUNNING)))
    await take(broker, RUNNING, lease=1e6)
    await put(broker, entry("first"), entry("second"))
    first, second = await take(broker, 2)
    before = await go.calls("lpos")
    assert await broker.settle([settlement(first), settlement(second)]) == [True, True]
    # One search of a few hundred entries for each, and none past the long-running tasks.
    assert await go.calls("lpos") - before == 2
    assert await go("LLEN", key("active")) == RUNNING
