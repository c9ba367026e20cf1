"""Attempt records in Redis: those of other servers, and unreadable ones."""

from __future__ import annotations

from asynqio.brokers.contract.results import Output
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import RUNS_KEPT, AttemptOutcome, AttemptRecord, encode_record
from asynqio.core.lifecycle import Action, Failed
from asynqio.core.task.message import TaskRef
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import entry, failed, long_traceback
from tests.conformance.helpers import put, take

A = TaskRef("default", "a")


async def runs(broker: RedisBroker) -> list[AttemptRecord]:
    [found] = await broker.attempts([A])
    return found


async def test_only_the_kept_attempts_have_fields(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    for _ in range(RUNS_KEPT + 3):
        [held] = await take(broker)
        await broker.write_output([Output(held, live=AttemptRecord(worker="one", started_at=clock.now()))])
        outcome = Failed(ValueError("no"))
        end = with_record(failed(held, clock.now()), outcome, AttemptRecord(worker="one"), clock.now())
        assert await broker.settle([end]) == [True]
        clock.advance(60)
        await broker.forward(["default"], 1)
    fields = await go.task("a")
    assert {name for name in fields if name.startswith("asynqio:")} == {
        "asynqio:runs",
        *(f"asynqio:run:{number}" for number in range(4, RUNS_KEPT + 4)),
    }


async def test_a_deleted_task_leaves_no_key(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    before = await go("KEYS", "*")
    end = failed(held, clock.now())
    await broker.settle([with_record(end, Failed(ValueError("no")), AttemptRecord(), clock.now())])
    assert set(await go("KEYS", "*t:*")) == {key("t:a").encode()} <= set(before)


async def test_output_of_an_earlier_holder_does_not_count_as_the_current_attempt(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given a task that Go took over from our server and retried: Go keeps our fields
    await put(broker, entry("a"))
    left = AttemptRecord(worker="earlier", started_at=clock.now() - 100)
    await go("HSET", key("t:a"), "asynqio:live", encode_record(left))
    # When one of our servers leases it again
    await take(broker, owner="later")
    assert await runs(broker) == [AttemptRecord(1, "later")]


async def test_an_attempt_by_go_has_no_record(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a"))
    await go.dequeue()
    assert await runs(broker) == []


async def test_an_unreadable_record_is_skipped(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await go("HSET", key("t:a"), "asynqio:runs", 3, "asynqio:run:2", b"\xc1junk", "asynqio:run:3", b"")
    await go("HSET", key("t:a"), "asynqio:live", b"\xff")
    assert [(run.number, run.outcome) for run in await runs(broker)] == [
        (2, AttemptOutcome.FAILED),
        (3, AttemptOutcome.FAILED),
    ]
    [held] = await take(broker)
    assert (await runs(broker))[-1].number == 4
    end = with_record(failed(held, clock.now()), Failed(ValueError("no")), AttemptRecord(), clock.now())
    assert await broker.settle([end]) == [True]
    assert [run.number for run in await runs(broker)] == [2, 3, 4]
    # Nor does a malformed number.
    await go("HSET", key("t:a"), "asynqio:runs", "many")
    assert await runs(broker) == []


async def test_ten_failures_take_less_than_8_kilobytes_of_redis(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", max_retry=100))
    before = await go("MEMORY", "USAGE", key("t:a"), "SAMPLES", 0)
    for number in range(2 * RUNS_KEPT):
        [held] = await take(broker)
        outcome = Failed(ValueError(f"order {number} is not complete"))
        trace = long_traceback(15 + number, f"ValueError: order {number} is not complete")
        live = AttemptRecord(worker="worker-host-17:31337:1281424f-0129-4915-9a00", started_at=clock.now())
        end = with_record(failed(held, clock.now()), outcome, live, clock.now(), trace)
        assert await broker.settle([end]) == [True]
        await broker.move(Action.RUN, [TaskRef("default", "a")])
    assert await go("HGET", key("t:a"), "asynqio:runs") == b"%d" % (2 * RUNS_KEPT)
    assert await go("MEMORY", "USAGE", key("t:a"), "SAMPLES", 0) - before < 8_192
