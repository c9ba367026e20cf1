"""The limit of a blocking producer on Redis: one EVALSHA per task over redis-py, and nothing else."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import redis

from benchmarks.cases.enqueue import noop_task
from benchmarks.cases.enqueue_sync import MANY_THREADS, ONE_THREAD, from_threads, one_by_one
from benchmarks.harness.case import RAW, Case, Size, Values
from benchmarks.harness.row_names import ENQUEUE_SYNC, ENQUEUE_THREADS
from benchmarks.harness.stores import temporary_url
from benchmarks.peers.bare_redis import ENQUEUE, PREFIX, RETRY, TIMEOUT, TaskMessage


def cases() -> list[Case]:
    return [Case(RAW, ONE_THREAD, _one_by_one), Case(RAW, MANY_THREADS, _from_threads)]


async def _one_by_one(size: Size) -> Values:
    with temporary_url("redis") as url:
        return {ENQUEUE_SYNC: await asyncio.to_thread(_with_client, url, one_by_one, size.one_by_one)}


async def _from_threads(size: Size) -> Values:
    with temporary_url("redis") as url:
        return {ENQUEUE_THREADS: await asyncio.to_thread(_with_client, url, from_threads, size.callers)}


def _with_client(url: str, measure: Callable[[Callable[[], object], int], float], count: int) -> float:
    with redis.Redis.from_url(url) as client:
        client.sadd("asynq:queues", "default")
        script = client.script_load(ENQUEUE)

        def enqueue() -> object:
            task, id = noop_task(), str(uuid.uuid4())
            message = TaskMessage(
                type=task.type, payload=task.payload, id=id, queue="default", retry=RETRY, timeout=TIMEOUT
            )
            return client.evalsha(
                *(script, 1, f"{PREFIX}pending", f"{PREFIX}t:", time.time_ns()),
                *(id, message.SerializeToString()),
            )

        return measure(enqueue, count)
