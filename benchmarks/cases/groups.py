"""What many groups cost Redis while a server aggregates them and members join."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import redis

from asynqio import Aggregation, Client, Mux, Server, Task
from benchmarks.cases.enqueue import noop_task
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url

#: Members that join per second while Redis is observed.
JOINS = 20
#: Groups that are filled per call.
CHUNK = 10_000


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "groups", _groups, once=True)] if kind == "redis" else []


async def _groups(size: Size) -> Values:
    with temporary_url("redis") as url, redis.Redis.from_url(url) as server:
        async with Client(url) as client:
            for start in range(0, size.groups, CHUNK):
                numbers = range(start, min(start + CHUNK, size.groups))
                await client.enqueue_many([_member(number) for number in numbers])
            server.config_set("slowlog-log-slower-than", 100)
            server.config_set("slowlog-max-len", 10_000)
            server.slowlog_reset()
            merge = {"*": Aggregation(function=_merge, grace=3600)}
            async with Server(url, aggregate=merge).running(Mux()):
                # Until the server has seen each group once.
                await asyncio.sleep(size.idle_seconds)
                before, began = _cpu_seconds(server), time.perf_counter()
                for number in range(round(JOINS * size.idle_seconds)):
                    await client.enqueue(_member(number))
                    await asyncio.sleep(1 / JOINS)
                used = (_cpu_seconds(server) - before) / (time.perf_counter() - began)
        scripts = [
            entry["duration"] for entry in server.slowlog_get(10_000) if entry["command"].startswith(b"EVAL")
        ]
        return {
            row_names.groups_cpu(size.groups): 100 * used,
            row_names.groups_longest(size.groups): max(scripts, default=0) / 1_000,
        }


def _member(number: int) -> Task:
    task = noop_task()
    return Task(task.type, task.payload, group=f"customer-{number}")


def _merge(group: str, tasks: Sequence[Task]) -> Task:
    return tasks[0]


def _cpu_seconds(server: redis.Redis) -> float:
    found = server.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
