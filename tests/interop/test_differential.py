"""Random operations by asynqio and by Go on two databases, which must be equal after each step.

`differential/corrections.py` lists the intended differences. ASYNQIO_INTEROP_SEED and ASYNQIO_INTEROP_STEPS select
other runs.
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
from tests.interop.differential import operator_steps, task_steps, time_steps
from tests.interop.differential.corrections import FIXES, VIEWS
from tests.interop.differential.pair import Pair
from tests.interop.differential.steps import STEPS

SEED = int(os.environ.get("ASYNQIO_INTEROP_SEED", "1"))
LENGTH = int(os.environ.get("ASYNQIO_INTEROP_STEPS", "300"))
#: The databases of asynqio and of Go.
OURS, GOS = 1, 2


@pytest.fixture(params=range(SEED, SEED + 4))
async def pair(request: pytest.FixtureRequest, redis_server: RedisServer, go: Go) -> AsyncIterator[Pair]:
    url = redis_server.url.rpartition("/")[0]
    # Whole seconds near the real time: Redis expires daily counters by its own clock.
    clock = FakeClock(float(int(time.time())))
    async with (
        open_broker(f"{url}/{OURS}", clock=clock) as ours,
        go.rdb(f"{url}/{GOS}") as rdb,
        look(f"{url}/{OURS}") as mine,
        look(f"{url}/{GOS}") as other,
    ):
        yield Pair(ours, rdb, mine, other, clock, request.param)


def look(url: str) -> Redis:
    """A client that does not look up its version, which would block the event loop."""
    return Redis.from_url(url, driver_info=DriverInfo("tests", "1"))


async def test_random_operations_leave_equal_databases(pair: Pair) -> None:
    assert {take.__module__ for _, take in STEPS} == {
        m.__name__ for m in (operator_steps, time_steps, task_steps)
    }
    weights, takes = zip(*STEPS, strict=True)
    for _ in range(LENGTH):
        [take] = pair.random.choices(takes, weights)
        step = await take(pair)
        for fix in FIXES:
            if step.name in fix.after:
                await fix.make(pair, step)
        mine, other = await pair.snapshots()
        for view in VIEWS:
            view.take(mine, other)
        pair.check(mine, other)
