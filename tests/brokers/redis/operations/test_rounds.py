"""A cluster of many queues: one round for all nodes, in the order of the queues, and never more than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import pytest

from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.brokers.redis.operations.dequeue import allot
from asynqio.brokers.redis.rounds import QUEUES as PER_CALL
from asynqio.brokers.redis.scripts.script import Script
from asynqio.testing import FakeClock
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry
from tests.conformance.helpers import put, take

QUEUES = [f"q{number:02}" for number in range(20)]


@pytest.fixture
async def broker(redis_cluster: RedisCluster) -> AsyncIterator[RedisBroker]:
    async with open_redis(redis_cluster.url, FakeClock()) as broker:
        yield broker


class Rounds:
    """Counts how often calls are sent while none is under way."""

    def __init__(self, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self._under_way = 0
        client = broker._here.session.redis
        for name in ("run", "command"):
            monkeypatch.setattr(client, name, self._counted(getattr(client, name)))

    def _counted(self, send: Any) -> Any:
        def sent(*args: Any) -> Awaitable[Any]:
            self.count += not self._under_way
            self._under_way += 1
            answer: asyncio.Future[Any] = send(*args)
            answer.add_done_callback(self._answered)
            return answer

        return sent

    def _answered(self, _: object) -> None:
        self._under_way -= 1


async def rounds_of(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch, work: Awaitable[Any]
) -> tuple[Any, int]:
    with monkeypatch.context() as patched:
        rounds = Rounds(broker, patched)
        return await work, rounds.count


async def test_a_dequeue_takes_two_rounds(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await rounds_of(broker, monkeypatch, take(broker, 5, queues=QUEUES)) == ([], 1)
    for queue in QUEUES:
        await put(broker, *(entry(f"{queue}-{number}", queue=queue) for number in range(3)))
    leases, rounds = await rounds_of(broker, monkeypatch, take(broker, 40, queues=QUEUES))
    print(f"{rounds} rounds")
    assert rounds == 2
    in_order = [f"{queue}-{number}" for queue in QUEUES for number in range(3)]
    assert [lease.message.id for lease in leases] == in_order[:40]
    leases, rounds = await rounds_of(broker, monkeypatch, take(broker, 100, queues=QUEUES))
    assert (rounds, [lease.message.id for lease in leases]) == (2, in_order[40:])


async def test_a_dequeue_skips_paused_queues_and_keeps_the_order(broker: RedisBroker) -> None:
    for queue in QUEUES[:4]:
        await put(broker, entry(queue, queue=queue))
    await broker.pause(QUEUES[2], True)
    leases = await take(broker, 9, queues=[QUEUES[3], QUEUES[2], QUEUES[0], QUEUES[1]])
    assert [lease.message.id for lease in leases] == [QUEUES[3], QUEUES[0], QUEUES[1]]


async def test_concurrent_dequeues_take_each_task_once_and_never_more_than_the_limit(
    broker: RedisBroker,
) -> None:
    for queue in QUEUES:
        await put(broker, *(entry(f"{queue}-{number}", queue=queue) for number in range(10)))
    taken = await asyncio.gather(*(take(broker, 15, queues=QUEUES) for _ in range(20)))
    assert max(map(len, taken)) <= 15
    ids = [lease.message.id for leases in taken for lease in leases]
    assert len(ids) == len(set(ids))
    rest = await take(broker, 1_000, queues=QUEUES)
    assert len(ids) + len(rest) == 200


async def test_forward_and_sweep_take_one_round(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = broker.clock
    assert isinstance(clock, FakeClock)
    for queue in QUEUES:
        await put(
            broker, *(entry(f"{queue}-{number}", queue=queue, at=clock.now() + 5) for number in range(3))
        )
        await put(broker, entry("later", queue=queue, at=clock.now() + 60 + len(queue)))
    (moved, next_at), rounds = await rounds_of(broker, monkeypatch, broker.forward(QUEUES, 1_000))
    assert (moved, rounds) == (0, 1)
    assert next_at == pytest.approx(clock.now() + 5, abs=1)
    clock.advance(5)
    (moved, _), rounds = await rounds_of(broker, monkeypatch, broker.forward(QUEUES, 1_000))
    assert (moved, rounds) == (60, 1)
    await broker.sweep(QUEUES, 1_000)
    (deleted, _), rounds = await rounds_of(broker, monkeypatch, broker.sweep(QUEUES, 1_000))
    assert (deleted, rounds) == (0, 1)


@pytest.mark.parametrize("limit", [1, 7, 25, 59])
async def test_forward_moves_no_more_than_its_limit(broker: RedisBroker, limit: int) -> None:
    clock = broker.clock
    assert isinstance(clock, FakeClock)
    for queue in QUEUES:
        await put(
            broker, *(entry(f"{queue}-{number}", queue=queue, at=clock.now() + 5) for number in range(3))
        )
    clock.advance(10)
    left = 60
    while left:
        moved = (await broker.forward(QUEUES, limit)).moved
        assert moved == min(limit, left)
        left -= moved


@pytest.mark.parametrize(
    ("counts", "limit", "shares"),
    [([3, 0, 5], 6, [3, 0, 3]), ([9, 9], 4, [4, 0]), ([], 4, []), ([1, 1], 9, [1, 1])],
)
def test_shares_follow_the_order(counts: Sequence[int], limit: int, shares: Sequence[int]) -> None:
    assert allot(counts, limit) == shares


async def test_a_script_call_looks_at_a_bounded_number_of_queues(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, clock = [f"q{number:03}" for number in range(2 * PER_CALL + 50)], FakeClock()
    async with open_redis(redis_server.url, clock) as broker:
        await put(broker, *(entry(queue=name, at=clock.now() + 10) for name in (names[0], names[-1])))
        calls: list[tuple[str, int]] = []
        client = broker._here.session.redis
        run = client.run

        def counted(script: Script, keys: Sequence[str], args: Sequence[Any], **options: Any) -> Any:
            calls.append((script.name, len({key.split("}")[0] for key in keys})))
            return run(script, keys, args, **options)

        monkeypatch.setattr(client, "run", counted)
        assert (await broker.forward(names, 1_000)).next_at == clock.now() + 10
        clock.advance(10)
        assert (await broker.forward(names, 1)).moved == 1
        assert (await broker.forward(names, 1_000)).moved == 1
        await broker.sweep(names, 1_000)
    assert {name for name, _ in calls} >= {"forward", "sweep"}
    assert max(count for _, count in calls) == PER_CALL
