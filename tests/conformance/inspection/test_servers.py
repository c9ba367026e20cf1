"""Servers: `beat`, `leave`, `servers`; and the broker itself: `ping`, `url`, `clone`."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.info import WorkerInfo
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import entry, server_info
from tests.conformance.conftest import REMOTE, broker_of
from tests.conformance.helpers import get_task, in_other_thread, put, state_of, take


async def test_a_server_is_listed_from_its_first_beat(broker: Store) -> None:
    full = server_info(
        "one",
        queues={"high": 6, "low": 1},
        strict_priority=True,
        concurrency=8,
        status="stopped",
        workers=[WorkerInfo("high", "a", "email:send", 1.5, 2.5, stuck=True, payload=b"\xff")],
        processed=3,
        failed=2,
        refused=1,
    )
    assert await broker.servers() == []
    await broker.beat(full, 10)
    assert await broker.servers() == [full]


async def test_a_beat_replaces_the_info_and_extends_its_registration(broker: Store, clock: FakeClock) -> None:
    await broker.beat(server_info("one", processed=1), 10)
    clock.advance(9)
    await broker.beat(server_info("one", processed=2), 10)
    clock.advance(9)
    assert [server.processed for server in await broker.servers()] == [2]


async def test_a_server_without_heartbeats_expires(broker: Store, clock: FakeClock) -> None:
    await broker.beat(server_info("one"), 10)
    await broker.beat(server_info("two"), 20)
    clock.advance(10)
    assert [server.id for server in await broker.servers()] == ["two"]


async def test_a_server_that_leaves_is_removed_at_once(broker: Store) -> None:
    await broker.beat(server_info("one"), 10)
    await broker.beat(server_info("two"), 10)
    await broker.leave(server_info("one"))
    await broker.leave(server_info("nobody"))
    assert [server.id for server in await broker.servers()] == ["two"]


async def test_a_clone_uses_the_same_store(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.beat(server_info("one"), 10)

    async def there(clone: Store) -> tuple[str, list[str], float]:
        [lease] = await take(clone)
        return lease.message.id, [server.id for server in await clone.servers()], clone.clock.now()

    assert await in_other_thread(broker, there) == ("a", ["one"], broker.clock.now())
    assert await state_of(broker, "a") is TaskState.ACTIVE


async def test_closing_a_clone_does_not_close_the_broker(broker: Store) -> None:
    async with broker.clone() as clone:
        await clone.ping()
    await broker.ping()
    await put(broker, entry("a"))
    assert (await get_task(broker, "a")).state is TaskState.PENDING


async def test_a_store_has_a_url(broker: Store, kind: str) -> None:
    scheme = "ws" if kind in REMOTE else broker_of(kind).replace("-", "+")
    assert broker.url.startswith(f"{scheme}://")
    assert broker.clone().url == broker.url
    assert broker.shared is (scheme != "memory")
    assert (broker.round_trip > 0) is scheme.startswith(("redis", "ws"))
    assert broker.private_url.startswith(f"{scheme}://")
