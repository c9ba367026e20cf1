"""Metrics of queues: a scrape shows the state of the store, also if parts of it cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from asynqio import App, BrokerError, Inspector, QueueStats, Task, TaskState, sync
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.memory import MemoryBroker
from asynqio.core.info import FRONT
from asynqio.metrics import Endpoint, QueueCollector
from asynqio.testing import FakeClock, Flaky
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry
from tests.conformance.conftest import BROKERS, broker_url, make_store
from tests.conformance.helpers import entry_for, put, put_in_state
from tests.metrics.scraping import Samples, samples_of, scrape_open_metrics, scraped
from tests.until import until

#: The metrics of Go's x/metrics with their types and labels.
OF_GO = {
    "asynq_tasks_enqueued_total": ("gauge", {"queue", "state"}),
    "asynq_queue_size": ("gauge", {"queue"}),
    "asynq_queue_latency_seconds": ("gauge", {"queue"}),
    "asynq_queue_memory_usage_approx_bytes": ("gauge", {"queue"}),
    "asynq_tasks_processed_total": ("counter", {"queue"}),
    "asynq_tasks_failed_total": ("counter", {"queue"}),
    "asynq_queue_paused_total": ("gauge", {"queue"}),
}


@pytest.fixture(params=BROKERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    """An open, empty store with the clock `clock`."""
    async with make_store(request.param, broker_url(request.param, tmp_path), clock) as store:
        yield store


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., CollectorRegistry]]:
    """Creates registries that collect from stores."""
    collectors: list[QueueCollector] = []

    def make(store: Store, **options: Any) -> CollectorRegistry:
        collectors.append(QueueCollector(Inspector(store), **options))
        registry = CollectorRegistry()
        registry.register(collectors[-1])
        return registry

    yield make
    for collector in collectors:
        await asyncio.to_thread(collector.close)


Watch = Callable[..., CollectorRegistry]


async def test_a_scrape_shows_the_state_of_the_store(store: Store, clock: FakeClock, watch: Watch) -> None:
    # Given tasks in every state, one of them failed, a paused queue, and an old pending task
    for number, state in enumerate(sorted(TaskState, key=lambda state: state is TaskState.PENDING)):
        for at in range(1 if state is TaskState.PENDING else number + 2):
            await put_in_state(store, clock, state, entry_for(state, f"{state}-{at}"))
    await store.pause("idle", True)
    await put(store, entry(queue="mail"))
    clock.advance(90)
    [mine] = await store.stats(["default"])
    # When it is scraped over HTTP
    registry = watch(store)
    async with Endpoint(registry, 0) as endpoint:
        seen = await scraped(endpoint.url)
        strictly = await asyncio.to_thread(scrape_open_metrics, endpoint.url)
    # Then Go's seven metrics are there, with its names, types and labels
    for name, (kind, labels) in OF_GO.items():
        family = seen.families[name.removesuffix("_total") if kind == "counter" else name]
        assert family.type == kind, name
        assert {sample.name for sample in family.samples} == {name}
        assert all(sample.labels.keys() == labels for sample in family.samples), name
        assert {sample.labels["queue"] for sample in family.samples} == {"default", "idle", "mail"}, name
    # And have the right values
    for state in TaskState:
        held = getattr(mine, state.value)
        assert seen.get("asynq_tasks_enqueued_total", queue="default", state=state) == held
        assert seen.get("asynqio_queue_tasks", queue="default", state=state) == held
    assert seen.get("asynq_queue_size", queue="default") == mine.size > 20
    assert seen.get("asynq_tasks_processed_total", queue="default") == mine.processed_total > 0
    assert seen.get("asynq_tasks_failed_total", queue="default") == mine.failed_total > 0
    assert seen.of("asynq_queue_paused_total") == {("default",): 0, ("idle",): 1, ("mail",): 0}
    assert seen.of("asynqio_queue_paused") == seen.of("asynq_queue_paused_total")
    assert seen.get("asynq_queue_latency_seconds", queue="mail") == pytest.approx(90, abs=1)
    assert seen.get("asynqio_queue_oldest_pending_seconds", queue="mail") == pytest.approx(90, abs=1)
    assert (seen.get("asynq_queue_memory_usage_approx_bytes", queue="default") or 0) > 500
    assert seen.get("asynqio_queue_processed_total", queue="default") == mine.processed_total
    assert seen.get("asynqio_queue_failed_total", queue="default") == mine.failed_total
    assert seen.get("asynqio_queue_evicted_total", queue="default") == 0
    assert seen.get("asynqio_queue_quarantined_total", queue="default") == 0
    assert seen.get("asynqio_queue_groups", queue="default") == mine.groups > 0
    assert seen.get("asynqio_scrape_success") == 1
    assert set(seen.of("asynqio_scrape_queue_success").values()) == {1}
    # And the strict parser returns the same
    assert strictly.of("asynq_queue_size") == seen.of("asynq_queue_size")


async def test_servers_are_counted_for_each_queue(tmp_path: Path, watch: Watch) -> None:
    async with App(f"sqlite:///{tmp_path}/tasks.db") as app:
        started = asyncio.Event()

        @app.task("long")
        async def long() -> None:
            started.set()
            await asyncio.Event().wait()

        await app.enqueue(Task("other"), queue="lonely")
        registry = watch(app.broker, max_age=0)
        idle = await samples_of(registry)
        async with app.running(shutdown_timeout=0, concurrency=7):
            await long.enqueue()
            await asyncio.wait_for(started.wait(), 20)
            some = await shown(registry)
    assert idle.of("asynqio_servers") == {("active",): 0, ("stopped",): 0}
    assert some.of("asynqio_servers") == {("active",): 1, ("stopped",): 0}
    assert some.of("asynqio_queue_servers") == {("default",): 1, ("lonely",): 0}
    assert some.get("asynqio_server_slots") == 7
    assert some.get("asynqio_server_slots_busy") == 1
    assert some.get("asynqio_server_handlers_stuck") == 0
    assert 0 <= (some.get("asynqio_server_heartbeat_age_seconds") or 0) < 30


async def shown(registry: CollectorRegistry) -> Samples:
    """A scrape that includes the running task: servers publish their info every five seconds."""
    while True:
        seen = await samples_of(registry)
        if seen.get("asynqio_server_slots_busy"):
            return seen
        await asyncio.sleep(0.1)  # heartbeats have no signal


class PartlyBroken(MemoryBroker):
    """A broker with one unreadable queue."""

    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        if "sick" in queues:
            raise BrokerError("this shard is gone")
        return await super().stats(queues)

    def clone(self) -> PartlyBroken:
        return self


async def test_a_broken_queue_does_not_hide_others(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    store = PartlyBroken()
    await put(store, *(entry(queue=queue) for queue in ("a", "sick", "z")))
    registry = watch(store, max_age=0)
    seen = await samples_of(registry)
    assert seen.of("asynq_queue_size") == {("a",): 1, ("z",): 1}
    assert seen.of("asynqio_scrape_queue_success") == {("a",): 1, ("sick",): 0, ("z",): 1}
    assert seen.get("asynqio_scrape_success") == 0
    assert seen.get("asynqio_server_slots") == 0
    await samples_of(registry)
    assert caplog.text.count("this shard is gone") == 1, "logged once, not at every scrape"


async def test_unreadable_memory_usage_does_not_affect_other_metrics(watch: Watch) -> None:
    flaky = Flaky(MemoryBroker())
    await put(flaky.broker, entry())
    flaky.fail(1, "memory_usage", error=BrokerError("NOPERM"))
    seen = await samples_of(watch(flaky.broker))
    assert seen.get("asynq_queue_size", queue="default") == 1
    assert seen.of("asynq_queue_memory_usage_approx_bytes") == {}
    assert seen.get("asynqio_scrape_success") == 1


async def test_memory_can_be_switched_off(watch: Watch) -> None:
    flaky = Flaky(MemoryBroker())
    await put(flaky.broker, entry())
    await samples_of(watch(flaky.broker, memory=False))
    assert "memory_usage" not in flaky.calls


def test_an_unreachable_store_is_reported_until_it_returns(tmp_path: Path) -> None:
    with RedisServer(tmp_path, aof="always") as redis, sync.Client(redis.url) as client:
        # Given a working exporter
        client.enqueue(Task("a"))
        collector = QueueCollector(sync.Inspector(redis.url), max_age=0, timeout=2)
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            assert once(registry).get("asynq_queue_size", queue="default") == 1
            # When Redis is unreachable, a scrape reports it and contains no stale values
            redis.kill()
            away = once(registry)
            assert away.get("asynqio_scrape_success") == 0
            assert away.of("asynq_queue_size") == {}
            # And when it returns, all metrics are back
            redis.start()
            until("it is seen again", lambda: once(registry).get("asynqio_scrape_success"))
            assert once(registry).get("asynq_queue_size", queue="default") == 1
        finally:
            collector.close()


def once(registry: CollectorRegistry) -> Samples:
    from tests.metrics.scraping import samples

    return samples(registry)


async def test_a_result_is_cached_for_five_seconds(clock: FakeClock, watch: Watch) -> None:
    flaky = Flaky(MemoryBroker(clock=clock))
    await put(flaky.broker, entry())
    registry = watch(flaky.broker)
    for _ in range(10):
        await samples_of(registry)
    assert flaky.calls["stats"] == 1
    clock.advance(4.9)
    await samples_of(registry)
    assert flaky.calls["stats"] == 1
    clock.advance(0.2)
    await samples_of(registry)
    assert flaky.calls["stats"] == 2
    assert flaky.calls["memory_usage"] == 1, "what it takes is measured once a minute"
    clock.advance(60)
    await samples_of(registry)
    assert flaky.calls["memory_usage"] == 2


async def test_the_cost_of_a_scrape_does_not_depend_on_the_number_of_tasks(
    redis_server: RedisServer, watch: Watch
) -> None:
    async def cost() -> int:
        """The commands that Redis runs for one scrape, including those in scripts."""
        registry = watch(store)
        await samples_of(registry)
        await asyncio.to_thread(redis_server.cli, "CONFIG", "RESETSTAT")
        fresh = watch(store)
        await samples_of(fresh)
        found = await asyncio.to_thread(redis_server.cli, "INFO", "commandstats")
        return sum(int(samples["calls"]) for name, samples in found.items() if "config" not in name)

    async with make_store("redis", redis_server.url, FakeClock()) as store:
        await put(store, *(entry() for _ in range(2 * FRONT)))
        few = await cost()
        await put(store, *(entry() for _ in range(10_000)))
        assert await cost() == few


async def test_a_scrape_in_a_coroutine_raises(watch: Watch) -> None:
    registry = watch(MemoryBroker())
    with pytest.raises(RuntimeError, match="runs an event loop"):
        generate_latest(registry)


async def test_a_closed_collector_opens_again_at_the_next_scrape(tmp_path: Path) -> None:
    async with App(f"sqlite:///{tmp_path}/tasks.db") as app:
        await app.enqueue(Task("a"))
        collector = QueueCollector(app.inspector, max_age=0)
        registry = CollectorRegistry()
        registry.register(collector)
        for _ in range(2):
            assert (await samples_of(registry)).get("asynq_queue_size", queue="default") == 1
            await asyncio.to_thread(collector.close)
            await asyncio.to_thread(collector.close)
