"""A dequeue that is cancelled hands back what it took, from one queue or several, on one server or a cluster."""

from __future__ import annotations

import asyncio

import pytest

from asynqio.brokers.redis.broker import open_redis
from asynqio.testing import FakeClock
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server
from tests.builders import entry
from tests.conformance.helpers import put, take

QUEUES = ["one", "two", "three"]


@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("queues", [QUEUES[:1], QUEUES])
@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_a_dequeue_cancelled_at_any_step_keeps_no_task(
    clock: FakeClock, kind: str, queues: list[str], steps: int
) -> None:
    url = fresh_server().url if kind == "single" else fresh_cluster().url
    async with open_redis(url, clock) as broker:
        await put(broker, *(entry(f"{queue}-{number}", queue=queue) for queue in queues for number in (1, 2)))
        caller = asyncio.create_task(broker.dequeue(queues, 5, 30.0, "server-1"))
        for _ in range(steps):
            await asyncio.sleep(0)
        caller.cancel()
        [answer] = await asyncio.gather(caller, return_exceptions=True)
        kept = answer if isinstance(answer, list) else []
        assert sum(stats.active for stats in await broker.stats(queues)) == len(kept)
        if not kept:
            # In the order in which they were enqueued.
            found = [lease.message.id for lease in await take(broker, 9, queues=queues)]
            assert found == [f"{queue}-{number}" for queue in queues for number in (1, 2)]
