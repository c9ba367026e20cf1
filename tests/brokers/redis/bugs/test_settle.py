"""Go's bugs in settling, lost replies and times, each in the situation that triggers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from benchmarks.network.proxy import DelayingProxy

from asynqio.brokers.contract.results import Admission, Output
from asynqio.brokers.redis.broker import RedisBroker, open_redis
from asynqio.brokers.redis.queue_registry import REGISTERED_FOR
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action, Failed, Policy
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from asynqio.testing.clock import START
from tests.brokers.redis.support.go_client import GoClient, key
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import abandoned, aborted, archived, entry, failed, settlement
from tests.conformance.helpers import get_task, ids, put, state_of, take

RIPE = GroupRule(grace=0.0)

# --- B15: known queues ----------------------------------------------------------------------------


async def test_b15_a_queue_that_somebody_removed_is_listed_again_with_its_next_tasks(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    await go("SREM", "asynq:queues", "default")
    clock.advance(REGISTERED_FOR)
    await put(broker, entry("b"))
    assert await go("SMEMBERS", "asynq:queues") == {b"default"}


# --- B21: times -----------------------------------------------------------------------------------


async def test_b21_no_task_is_due_early_though_scores_have_whole_seconds(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 10.3))
    assert await go("ZSCORE", key("scheduled"), "a") == START + 11
    clock.advance(10.3)
    assert await broker.forward(["default"], 10) == (0, START + 11)
    clock.advance(0.7)
    assert await broker.forward(["default"], 10) == (1, None)
    await put(broker, entry("b"))
    _, held = await take(broker, 2)
    await broker.settle([failed(held, clock.now() + 0.01)])
    assert await go("ZSCORE", key("retry"), "b") == START + 11 + 61


async def test_b21_go_forwards_a_short_delay_at_the_next_whole_second(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 0.25), entry("b"))
    [held] = await take(broker)
    soon = msgspec.structs.replace(failed(held, clock.now()), at=clock.now() + 0.5)
    await broker.settle([soon])
    assert await go("ZSCORE", key("scheduled"), "a") == START + 1
    assert await go("ZSCORE", key("retry"), "b") == START + 1
    # Given that Go's forwarder was faster, ours moves neither again
    clock.advance(1)
    await go.forward("a")
    await go.forward("b", "retry")
    assert await broker.forward(["default"], 10) == (0, None)
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]
    assert await go("EXISTS", key("asynqio:soon")) == 0


# --- B25: lost answers ----------------------------------------------------------------------------


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    """A proxy that drops replies on request."""
    with DelayingProxy(redis_server.port) as made:
        yield made


@pytest.fixture
async def far(proxy: DelayingProxy, clock: FakeClock) -> AsyncIterator[RedisBroker]:
    """A broker behind the proxy, whose scripts are loaded."""
    async with open_redis(f"redis://127.0.0.1:{proxy.port}", clock) as broker:
        for script in LUA:
            await (await broker._session()).redis.command(None, "SCRIPT", "LOAD", script.text)
        yield broker


async def lose(proxy: DelayingProxy, sha: str) -> None:
    """Drop the reply to the next call of a script."""
    await asyncio.to_thread(proxy.drop_replies, sha)


async def was_lost(proxy: DelayingProxy) -> bool:
    return await asyncio.to_thread(proxy.dropped) == 1


async def test_b25_tasks_of_a_dequeue_without_reply_are_found(
    far: RedisBroker, proxy: DelayingProxy, go: GoClient, clock: FakeClock
) -> None:
    await put(far, *(entry(id, queue=queue) for id, queue in ("ax", "bx", "cy")))
    await lose(proxy, LUA.dequeue.sha)
    leases = await take(far, 5, queues=["y", "x"])
    assert await was_lost(proxy)
    assert [held.message.ref for held in leases] == [("y", "c"), ("x", "a"), ("x", "b")]
    assert await far.settle([settlement(held, now=clock.now()) for held in leases]) == [True] * 3
    assert await go.names("x") == [f"processed{day}" for day in ("", ":2023-11-14")]


@pytest.mark.parametrize("how", [{}, {"unique": 60.0}, {"group": "g"}, {"at": 1_700_000_060.0}])
async def test_b25_an_enqueue_without_reply_does_not_conflict_with_itself(
    far: RedisBroker, proxy: DelayingProxy, how: dict[str, Any]
) -> None:
    await put(far, entry("taken"))
    await lose(proxy, LUA.enqueue.sha)
    answers = await far.enqueue([entry("a", **how), entry("taken", payload=b"other")])
    assert await was_lost(proxy)
    assert answers == [Admission.ACCEPTED, Admission.ID_CONFLICT]
    assert await state_of(far, "a") is not None
    assert await far.enqueue([entry("a", payload=b"other", **how)]) == [Admission.ID_CONFLICT]


@pytest.mark.parametrize("end", [settlement, failed, archived, abandoned])
async def test_b25_a_settlement_without_reply_is_applied_once(
    far: RedisBroker, proxy: DelayingProxy, go: GoClient, clock: FakeClock, end: object
) -> None:
    await put(far, entry("a"))
    [held] = await take(far)
    await lose(proxy, LUA.settle.sha)
    assert await far.settle([end(held, now=clock.now())]) == [True]  # type: ignore[operator]
    assert await was_lost(proxy)
    [stats] = await far.stats(["default"])
    assert stats.processed == 1
    assert len(await go.places("a")) == (0 if end is settlement else 1)


async def test_b25_a_merge_without_reply_is_applied_once(far: RedisBroker, proxy: DelayingProxy) -> None:
    await put(far, entry("a", group="g"))
    [batch] = (await far.claim_groups(["default"], RIPE, 1)).batches
    await lose(proxy, LUA.merge_group.sha)
    assert await far.merge_group(batch, entry("merged")) is Admission.ACCEPTED
    assert await was_lost(proxy)
    assert await ids(far, TaskState.PENDING) == ["merged"]


# --- B28: since when a task waits -----------------------------------------------------------------


async def test_b28_a_task_that_is_pending_again_knows_since_when(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    async def waited() -> float:
        clock.advance(7)
        [stats] = await broker.stats(["default"])
        assert int((await go.task("a"))["pending_since"]) == (clock.now() - 7) * 1e9
        return stats.latency

    await put(broker, entry("a"))
    clock.advance(100)
    [held] = await take(broker)
    await broker.settle([aborted(held, clock.now())])
    assert await waited() == 7
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])
    await broker.move(Action.RUN, [TaskRef("default", "a")])
    assert await waited() == 7
    [held] = await take(broker)
    await broker.settle([abandoned(held, clock.now())])
    assert await waited() == 7


# --- B32: results of failures ---------------------------------------------------------------------


async def test_b32_a_result_written_before_a_failure_is_kept(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    assert await broker.write_output([Output(held, b"so far", b"0.5")]) == [True]
    await broker.settle([archived(held, clock.now())])
    seen = await get_task(broker, "a")
    assert (seen.state, seen.result, seen.progress) == (TaskState.ARCHIVED, b"so far", b"0.5")
    assert (await go.task("a"))["result"] == b"so far"


async def test_b32_a_lost_lease_cannot_write_a_result(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert await broker.write_output([Output(held, b"late")]) == [False]
    assert await go.task("a") == {}


# --- B34: texts of errors -------------------------------------------------------------------------


async def test_b34_an_error_whose_text_is_not_unicode_ends_the_attempt_all_the_same(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, *map(entry, "ab"))
    [first, second] = await take(broker, 2)
    error = ValueError("half \ud83d of a pair, \x00, and \udcff of a path")
    assert await broker.settle([failed(first, clock.now(), error), failed(second, clock.now())]) == [True] * 2
    stored = await go.message("a")
    assert stored.last_error == "ValueError: half ? of a pair, \x00, and ? of a path"
    assert await go.places("a") == ["retry"]


# --- B35: errors that are no failures -------------------------------------------------------------


async def test_b35_what_is_never_a_failure_ends_in_the_archive_in_the_end(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    policy = Policy(is_failure=lambda error: False, max_deferrals=2)
    await put(broker, entry("a", max_retry=1))
    for deferrals in (1, 2):
        [held] = await take(broker)
        await broker.settle([settlement(held, Failed(ValueError()), clock.now(), policy)])
        task, stored = await go.task("a"), await go.message("a")
        assert (task["state"], stored.retried) == (b"retry", 0)
        assert task["asynqio:strikes"] == f"0,{deferrals}".encode()
        clock.advance(3600)
        await broker.forward(["default"], 1)
    [held] = await take(broker)
    await broker.settle([settlement(held, Failed(ValueError()), clock.now(), policy)])
    assert await go.places("a") == ["archived"]
    [stats] = await broker.stats(["default"])
    assert (stats.processed_total, stats.failed_total) == (1, 1)


# --- B41: the price of an end ---------------------------------------------------------------------


async def test_b41_many_ends_are_one_call_and_none_scans_the_whole_list(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, *(entry(str(number)) for number in range(200)))
    leases = await take(broker, 200)
    *oldest, left, one, two = leases
    async with go.client.monitor() as monitor:
        # tasks at the oldest end are removed together, in whatever order they ended
        await broker.settle([settlement(held, now=clock.now()) for held in reversed(oldest)])
        # a task elsewhere is searched once from the oldest end
        await broker.settle([settlement(held, now=clock.now()) for held in (one, two)])
        await go("ECHO", "over")
        seen: list[str] = []
        while not seen or not seen[-1].startswith("ECHO"):
            seen.append((await monitor.next_command())["command"])
    scans = [command.split() for command in seen if command.upper().startswith("LREM")]
    assert [count for _, _, count, _ in scans] == ["-1", "-1"]
    assert await ids(broker, TaskState.ACTIVE) == [left.message.id]
    assert sum(command.upper().startswith(("EVALSHA", "EVAL ")) for command in seen) <= 3
