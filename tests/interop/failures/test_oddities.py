"""Unusual but valid names, numbers and texts of one side must not break the other."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from asynqio import open_broker
from asynqio.core.groups import GroupRule
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import archived, entry, failed, settlement
from tests.interop.conftest import Go, Ours, Side
from tests.interop.support.views import GoOptions
from tests.interop.support.waiting import settled

#: Names that Go accepts. asynqio rejects some of them.
NAMES = ["a:b:c", "Ünï ☃", "{x}y", "line\nbreak\ttab", "n" * 300, "g:{default}:pending", " spaces "]


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_only_go_accepts(go: Go, ours: Ours, name: str) -> None:
    options: GoOptions = {"queue": name, "task_id": name, "headers": {name: name}, "max_retry": 0}
    async with (
        ours.server(queues={name: 1}, aggregate=True, group_grace=1) as server,
        go.client() as client,
        go.inspector() as theirs,
        ours.inspector() as mine,
    ):
        await client.enqueue(f"skip:{name}", name.encode(), **options)
        seen = (await server.event("started", id=name)).seen
        assert (seen.queue, seen.type, seen.headers) == (name, f"skip:{name}", {name: name})
        assert (await settled(mine, name, name)).state == "archived"
        assert await mine.task(name, name) == await theirs.task(name, name)
        await client.enqueue("ok", b"x", queue=name, group=name)
        assert (await server.event("aggregated")).group == name


async def test_a_task_without_a_limit_gets_the_half_hour_of_go(go: Go, ours: Ours) -> None:
    """Go stores half a second as 0 (B33), which is invalid without a deadline."""
    async with ours.server() as server, go.client() as client:
        info = await client.enqueue("ok", timeout=0.5)
        assert info.timeout == 0
        seen = (await server.event("started", id=info.id)).seen
        assert seen.deadline == pytest.approx(time.time() + 1800, abs=10)


async def test_a_deadline_in_the_past_is_a_failure(producer: Side, worker: Side, go: Go) -> None:
    async with go.client() as client, go.inspector() as inspector, worker.server(retry_delay=600) as server:
        info = await client.enqueue("ok", deadline=time.time() - 10)
        await server.event("failed", id=info.id)
        task = await settled(inspector, info.id)
        # Go retries what can never run; asynqio archives it at once.
        assert (task.state, task.retried) == (("archived", 0) if isinstance(worker, Ours) else ("retry", 1))
        assert "deadline" in task.last_err
        assert not server.waiting("started")


async def test_a_large_payload_of_go(go: Go, ours: Ours) -> None:
    """Go has no limit; the limit of asynqio applies in its client, not in its worker."""
    async with ours.server() as server, go.client() as client:
        payload = bytes(3_000_000)
        info = await client.enqueue("ok", payload)
        assert (await server.event("started", id=info.id)).seen.payload == payload


async def test_error_texts_that_are_not_unicode(go: Go, ours: Ours) -> None:
    """Go rejects a message with one invalid character (B34), and then recovers no task of any queue (B9)."""
    async with go.client() as client, go.inspector() as inspector, ours.server() as server:
        await client.enqueue("garbled", task_id="a", max_retry=0)
        await server.event("failed", id="a")
        task = await settled(inspector, "a")
        assert task.state == "archived"
        assert "half" in task.last_err


async def test_every_number_that_go_reads_is_whole(redis_server: RedisServer) -> None:
    """With one fractional score, older Go versions and asynqmon cannot show the list."""
    clock = FakeClock(math.floor(time.time()) + 0.75)
    async with open_broker(redis_server.url, clock=clock) as broker:
        at = clock.now() + 5.5
        await broker.enqueue(
            [entry(f"p{n}", unique=60.5, payload=b"%d" % n, retention=9.5) for n in range(6)]
        )
        await broker.enqueue([entry("s", at=at), entry("gs", at=at, group="g"), entry("sp", at=at + 500)])
        await broker.enqueue([entry("g1", group="g"), entry("g2", group="h")])
        leases = await broker.dequeue(["default"], 6, 30.3, "s1")
        await broker.renew(leases, 31.1)
        await broker.renew_owner("s1", 32.2)
        now = clock.now()
        await broker.settle(
            [settlement(leases[0], now=now), failed(leases[1], now), archived(leases[2], now)]
        )
        await broker.beat(
            ServerInfo("s1", "host", 1, now, {"default": 1}, workers=[WorkerInfo("default", "p4", "x", now)]),
            10.5,
        )
        clock.advance(6.3)
        await broker.forward(["default"], 100)
        await broker.claim_groups(["default"], GroupRule(1.0), 1)
        await broker.pause("default", True)
    everything = await asyncio.to_thread(numbers, redis_server)
    kinds = {key.rpartition(":")[2] for key, _, _ in everything}
    assert kinds >= {"lease", "scheduled", "retry", "archived", "completed", "aggregation_sets", "servers"}
    assert {"pending_since", "g1"} <= {name for _, name, _ in everything}
    assert [item for item in everything if item[2] != int(item[2])] == []


def numbers(server: RedisServer) -> list[tuple[str, str, float]]:
    """All scores and numeric values that Go reads."""
    found: list[tuple[str, str, float]] = []
    for key in server.cli("KEYS", "asynq:*"):
        kind = server.cli("TYPE", key)
        if ":asynqio:" in key:
            continue
        if kind == "zset":
            scores = dict(server.cli("ZRANGE", key, 0, -1, "WITHSCORES"))
            found += [(key, member, float(score)) for member, score in scores.items()]
        elif key.endswith(":paused"):
            found.append((key, "", float(server.cli("GET", key))))
        elif ":t:" in key and (since := server.cli("HGET", key, "pending_since")):
            found.append((key, "pending_since", float(since)))
            assert since.isdigit()
    return found
