"""Estimate how much memory of Redis a queue takes."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio.brokers.contract.limits import SAMPLE
from asynqio.brokers.redis.chunking import gather
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session


async def memory_usage(session: Session, queues: Sequence[str]) -> list[int]:
    """See Inspection.memory_usage."""
    return await gather([_memory_usage(session, name) for name in queues]) if queues else []


async def _memory_usage(session: Session, name: str) -> int:
    queue = await session.registry.require(name)
    keys = [queue.pending, queue.active, queue.scheduled, queue.retry, queue.archived, queue.completed]
    keys += (queue.groups, queue.batches)
    return int(await session.run(LUA.memory_usage, keys, [queue.task_prefix, queue.group(""), SAMPLE]))
