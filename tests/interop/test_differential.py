"""Random operations on two databases, ours and Go's: after each step everything in them is the same.

What may differ is listed in `differential/corrections.py`. ASYNQIO_INTEROP_SEED and ASYNQIO_INTEROP_STEPS look
further than the daily run.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator

import pytest
from redis import DriverInfo
from redis.asyncio import Redis

from asynqio import open_broker
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.interop.conftest import Go
from tests.interop.differential import operating, passing, working
from tests.interop.differential.corrections import MENDS, VIEWS
from tests.interop.differential.pair import Pair
from tests.interop.differential.registry import STEPS

SEED = int(os.environ.get("ASYNQIO_INTEROP_SEED", "1"))
LENGTH = int(os.environ.get("ASYNQIO_INTEROP_STEPS", "300"))
#: The databases of the two sides.
OURS, GOS = 1, 2


@pytest.fixture(params=range(SEED, SEED + 4))
async def pair(request: pytest.FixtureRequest, redis_server: RedisServer, go: Go) -> AsyncIterator[Pair]:
    url = redis_server.url.rpartition("/")[0]
    # Whole seconds, and now: Redis itself tells when daily counters end.
    clock = FakeClock(float(int(time.time())))
    async with (
        open_broker(f"{url}/{OURS}", clock=clock) as ours,
        go.rdb(f"{url}/{GOS}") as rdb,
        look(f"{url}/{OURS}") as mine,
        look(f"{url}/{GOS}") as other,
    ):
        yield Pair(ours, rdb, mine, other, clock, request.param)


def look(url: str) -> Redis:
    """A client that does not look up its own version: that would block the event loop."""
    return Redis.from_url(url, driver_info=DriverInfo("tests", "1"))


async def test_random_operations_leave_the_same_behind(pair: Pair) -> None:
    assert {take.__module__ for _, take in STEPS} == {m.__name__ for m in (operating, passing, working)}
    weights, takes = zip(*STEPS, strict=True)
    for _ in range(LENGTH):
        [take] = pair.random.choices(takes, weights)
        step = await take(pair)
        for mend in MENDS:
            if step.name in mend.after:
                await mend.make(pair, step)
        mine, other = await pair.snapshots()
        for view in VIEWS:
            view.take(mine, other)
        pair.check(mine, other)
