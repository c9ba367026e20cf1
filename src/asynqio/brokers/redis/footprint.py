"""About how much of Redis' memory a queue takes."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.limits import SAMPLE
from asynqio.brokers.redis.engine import Engine
from asynqio.brokers.redis.look import known
from asynqio.brokers.redis.pieces import together
from asynqio.brokers.redis.scripts import LUA


async def footprint(engine: Engine, queues: Sequence[str]) -> list[int]:
    """See Inspection.footprint."""
    return await together([_footprint(engine, name) for name in queues]) if queues else []


async def _footprint(engine: Engine, name: str) -> int:
    queue = await known(engine, name)
    keys = [queue.pending, queue.active, queue.scheduled, queue.retry, queue.archived, queue.completed]
    keys += (queue.groups, queue.batches)
    return int(await engine.run(LUA.footprint, keys, [queue.task_prefix, queue.group(""), SAMPLE]))
