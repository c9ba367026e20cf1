"""Gateways that are killed and started again, as processes, before SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asynqio import App
from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Admission
from asynqio.core.task.message import TaskState
from asynqio.errors import BrokerUnavailable
from tests.brokers.remote.support.process import GatewayProcess
from tests.builders import entry, settlement
from tests.conformance.helpers import ids, put, take

#: Seconds after which a wait fails: only a broken build gets there.
LIMIT = 60.0


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    process = GatewayProcess(f"sqlite:///{tmp_path}/tasks.db")
    await asyncio.to_thread(process.start)
    yield process
    await asyncio.to_thread(process.kill)


async def restart(gateway: GatewayProcess) -> None:
    await asyncio.to_thread(gateway.kill)
    await asyncio.to_thread(gateway.start)


async def test_leases_of_one_gateway_are_settled_through_another(gateway: GatewayProcess) -> None:
    async with open_broker(f"{gateway.url}?patience=60") as broker:
        await put(broker, entry("a"), entry("b"), entry("c", retention=60.0))
        leases = await take(broker, 3)
        await restart(gateway)
        assert await broker.renew(leases, 60.0) == [True] * 3
        now = broker.clock.now()
        assert await broker.settle([settlement(lease, now=now) for lease in leases]) == [True] * 3
        assert await ids(broker, TaskState.COMPLETED) == ["c"]
        assert await ids(broker, TaskState.ACTIVE) == []


async def test_watches_survive_a_restart(gateway: GatewayProcess, tmp_path: Path) -> None:
    async with (
        open_broker(f"{gateway.url}?patience=60") as broker,
        open_broker(f"sqlite:///{tmp_path}/tasks.db") as direct,
    ):
        with broker.watch([signals.pending("default")]) as watch:
            await broker.ping()
            await restart(gateway)
            await broker.ping()
            while await watch.wait(0.05):
                pass
            await put(direct, entry("a"))
            assert await watch.wait(LIMIT)


async def test_producers_lose_and_repeat_nothing_over_restarts(gateway: GatewayProcess) -> None:
    """A call that fails may or may not have run; any other has run once."""
    confirmed: set[str] = set()
    unknown: set[str] = set()
    stopped = asyncio.Event()

    async with open_broker(f"{gateway.url}?patience=60") as broker:

        async def produce(name: str) -> None:
            number = 0
            while not stopped.is_set():
                number += 1
                id = f"{name}-{number}"
                try:
                    assert await broker.enqueue([entry(id)]) == [Admission.ACCEPTED]
                except BrokerUnavailable:
                    unknown.add(id)
                else:
                    confirmed.add(id)

        producers = [asyncio.create_task(produce(name)) for name in "abcd"]
        for _ in range(3):
            before = len(confirmed)
            while len(confirmed) < before + 40:
                await asyncio.wait(producers, timeout=0.01)
                assert not any(producer.done() for producer in producers)
            await restart(gateway)
        stopped.set()
        await asyncio.wait_for(asyncio.gather(*producers), LIMIT)
        stored = await ids(broker, TaskState.PENDING)
    assert len(stored) == len(set(stored))
    assert confirmed <= set(stored)
    assert set(stored) <= confirmed | unknown
    assert len(unknown) <= 12


async def test_a_worker_goes_on_after_a_restart(gateway: GatewayProcess) -> None:
    """Tasks that the killed gateway had taken for a call without an answer run when their lease has lapsed."""
    app = App(f"{gateway.url}?patience=60")
    ran: list[int] = []
    finished = asyncio.Event()

    @app.task("count")
    async def count(number: int) -> None:
        ran.append(number)
        if len(set(ran)) == 200:
            finished.set()

    async with app, app.running(concurrency=10, shutdown_timeout=5, lease=2):
        await asyncio.gather(*(count.enqueue(number) for number in range(100)))
        await restart(gateway)
        await asyncio.gather(*(count.enqueue(number) for number in range(100, 200)))
        await asyncio.wait_for(finished.wait(), LIMIT)
    assert sorted(set(ran)) == list(range(200))
