"""About how much of Redis' memory a queue takes."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.redis.admin.stats import known
from asynqio.brokers.redis.scripts.batches import together
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Engine


async def footprint(engine: Engine, queues: Sequence[str]) -> list[int]:
    """See Inspection.footprint."""
    return await together([_footprint(engine, name) for name in queues]) if queues else []


async def _footprint(engine: Engine, name: str) -> int:
    queue = await known(engine, name)
    keys = [queue.pending, queue.active, queue.scheduled, queue.retry, queue.archived, queue.completed]
    keys += (queue.groups, queue.batches)
    return int(await engine.run(LUA.footprint, keys, [queue.task_prefix, queue.group(""), SAMPLE]))
