"""Rule 16: the records of the attempts at a task."""

from __future__ import annotations

import hashlib

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Output
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import RUNS_KEPT, AttemptOutcome, AttemptRecord, LogLine, encode_record
from asynqio.core.lifecycle import DONE, Aborted, Action, Failed, Lease, Outcome, Settlement
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import LeaseExpired, SkipRetry
from asynqio.testing import FakeClock
from tests.builders import entry, long_traceback, settlement
from tests.conformance.helpers import get_task, in_other_thread, is_notified, put, state_of, take

A = TaskRef("default", "a")


def end(
    held: Lease, clock: FakeClock, outcome: Outcome = DONE, live: AttemptRecord | None = None
) -> Settlement:
    """The settlement of an attempt, with its record."""
    so_far = live or AttemptRecord(worker="server-1", started_at=clock.now() - 2)
    return with_record(
        settlement(held, outcome, clock.now()), outcome, so_far, clock.now(), "Traceback: here"
    )


async def runs(broker: Store, ref: TaskRef = A) -> list[AttemptRecord]:
    [found] = await broker.attempts([ref])
    return found


async def fail(broker: Store, clock: FakeClock, text: str, id: str = "a") -> None:
    """One attempt that fails; the task is pending again afterwards."""
    [held] = await take(broker)
    assert held.message.id == id
    assert await broker.settle([end(held, clock, Failed(ValueError(text)))]) == [True]
    assert await broker.move(Action.RUN, [held.message.ref]) == [Moved.DONE]


async def test_rule_16_the_record_is_stored_with_the_settlement(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    said = AttemptRecord(
        worker="host:1:one",
        started_at=clock.now(),
        progress=b'{"rows":\x00}',
        log=[LogLine(clock.now() + 0.5, "reads é\n\x00"), LogLine(clock.now() + 1.25, "gives up", "warning")],
        log_dropped=7,
    )
    clock.advance(3)
    assert await broker.settle([end(held, clock, Failed(ValueError("no")), said)]) == [True]
    assert await runs(broker) == [
        AttemptRecord(
            number=1,
            worker="host:1:one",
            started_at=clock.now() - 3,
            ended_at=clock.now(),
            outcome=AttemptOutcome.FAILED,
            then=TaskState.RETRY,
            error="ValueError: no",
            traceback="Traceback: here",
            progress=b'{"rows":\x00}',
            log=said.log,
            log_dropped=7,
        )
    ]


async def test_rule_16_records_are_in_order_and_bounded(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    for number in range(1, RUNS_KEPT + 4):
        await fail(broker, clock, f"error {number}")
    found = await runs(broker)
    assert [run.number for run in found] == list(range(4, RUNS_KEPT + 4))
    assert [run.error for run in found] == [f"ValueError: error {run.number}" for run in found]


async def test_rule_16_every_outcome_but_deletion_is_recorded(broker: Store, clock: FakeClock) -> None:
    ends: list[tuple[Outcome, AttemptOutcome, TaskState]] = [
        (DONE, AttemptOutcome.SUCCEEDED, TaskState.COMPLETED),
        (Aborted(), AttemptOutcome.ABORTED, TaskState.PENDING),
        (Failed(SkipRetry("no use")), AttemptOutcome.FAILED, TaskState.ARCHIVED),
        (Failed(LeaseExpired()), AttemptOutcome.LOST, TaskState.PENDING),
    ]
    for place, (outcome, how, then) in enumerate(ends):
        queue = f"queue-{place}"
        await put(broker, entry("a", queue=queue, retention=60.0))
        [held] = await take(broker, queues=[queue])
        assert await broker.settle([end(held, clock, outcome)]) == [True]
        [run] = await runs(broker, TaskRef(queue, "a"))
        assert (run.number, run.outcome, run.then) == (1, how, then)
        assert await state_of(broker, "a", queue) is then


async def test_rule_16_records_survive_operator_actions(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", retention=60.0))
    await fail(broker, clock, "one")
    await broker.move(Action.ARCHIVE, [A])
    await broker.move(Action.RUN, [A])
    await broker.rewrite({A: b'{"to":"bob"}'})
    await fail(broker, clock, "two")
    [held] = await take(broker)
    await broker.settle([end(held, clock)])
    await broker.move(Action.RUN, [A])
    found = await runs(broker)
    assert [(run.number, run.error) for run in found] == [
        (1, "ValueError: one"),
        (2, "ValueError: two"),
        (3, ""),
    ]


async def test_rule_16_records_are_deleted_with_the_task(broker: Store, clock: FakeClock) -> None:
    # deleted, succeeded without retention, removed with the queue, swept: the next task of that id has no records
    await put(broker, entry("a"))
    await fail(broker, clock, "one")
    await broker.move(Action.DELETE, [A])
    assert await runs(broker) == []
    await put(broker, entry("a"))
    assert await runs(broker) == []
    await fail(broker, clock, "two")
    [held] = await take(broker)
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    await put(broker, entry("a"))
    await fail(broker, clock, "three")
    await broker.remove_queue("default", force=True)
    await put(broker, entry("a", retention=60.0))
    assert await runs(broker) == []
    [held] = await take(broker)
    await broker.settle([end(held, clock)])
    assert [run.number for run in await runs(broker)] == [1]
    clock.advance(61)
    await broker.sweep(["default"], 10)
    assert await runs(broker) == []
    await put(broker, entry("a"))
    await fail(broker, clock, "four")
    assert [(run.number, run.error) for run in await runs(broker)] == [(1, "ValueError: four")]


async def test_rule_16_a_lost_lease_records_nothing(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [stale] = await take(broker, lease=10, owner="one")
    clock.advance(11)
    lost = (await broker.expired(["default"], 10)).leases
    assert await broker.settle([end(held, clock, Failed(LeaseExpired())) for held in lost]) == [True]
    [fresh] = await take(broker, owner="two")
    assert await broker.settle([end(stale, clock, Failed(ValueError("late")))]) == [False]
    assert [run.outcome for run in await runs(broker)] == [AttemptOutcome.LOST, AttemptOutcome.RUNNING]
    assert await broker.settle([end(fresh, clock, Failed(ValueError("now")))]) == [True]
    assert [run.error for run in (await runs(broker))[1:]] == ["ValueError: now"]


async def test_rule_16_a_settlement_without_a_record_stores_none(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker)
    await broker.write_output([Output(held, live=AttemptRecord(worker="server-1", started_at=clock.now()))])
    assert await broker.settle([settlement(held, Aborted(), clock.now())]) == [True]
    assert await runs(broker) == []
    [again] = await take(broker, owner="server-2")
    assert await runs(broker) == [AttemptRecord(1, "server-2")]
    await broker.settle([settlement(again, Failed(ValueError("no")), clock.now())])
    assert await runs(broker) == []


async def test_rule_16_the_running_attempt_comes_last(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, "one")
    [held] = await take(broker, owner="host:1:two")
    assert (await runs(broker))[1:] == [AttemptRecord(2, "host:1:two")]
    live = AttemptRecord(
        worker="host:1:two", started_at=clock.now() + 1, log=[LogLine(clock.now() + 2, "begins")]
    )
    assert await broker.write_output([Output(held, live=live, progress=b"5")]) == [True]
    [first, second] = await runs(broker)
    assert first.number == 1
    assert second == AttemptRecord(2, "host:1:two", live.started_at, log=live.log)
    assert (await get_task(broker, "a")).progress == b"5"
    await broker.settle([end(held, clock, Failed(ValueError("two")))])
    assert [run.number for run in await runs(broker)] == [1, 2]


async def test_rule_16_an_unknown_task_has_no_attempts(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    refs = [TaskRef("default", "ghost"), A, TaskRef("ghost", "a")]
    await fail(broker, clock, "one")
    assert [len(found) for found in await broker.attempts(refs)] == [0, 1, 0]
    assert await broker.attempts([]) == []
    assert await broker.queues() == ["default"]


async def test_an_active_task_shows_when_its_lease_expires(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    assert (await get_task(broker, "a")).lease_expires_at == 0
    [held] = await take(broker, lease=20)
    assert (await get_task(broker, "a")).lease_expires_at == clock.now() + 20
    clock.advance(15)
    await broker.renew([held], 20)
    assert (await get_task(broker, "a")).lease_expires_at == clock.now() + 20


async def test_rule_5_a_watch_on_a_task_receives_each_change(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 5, retention=60.0))
    with broker.watch([signals.changed(A)]) as watch:

        async def expect_signal() -> None:
            """Assert that the watch receives a signal, and discard others of the same change."""
            assert await is_notified(watch)
            watch.clear()

        clock.advance(5)
        await broker.forward(["default"], 1)
        await expect_signal()
        [held] = await take(broker)
        await expect_signal()
        await broker.write_output([Output(held, progress=b"1")])
        await expect_signal()
        await broker.settle([end(held, clock, Failed(ValueError("no")))])
        await expect_signal()
        await broker.move(Action.RUN, [A])
        await expect_signal()
        [held] = await take(broker)
        await expect_signal()
        await broker.settle([end(held, clock)])
        await expect_signal()
        clock.advance(60)
        await broker.sweep(["default"], 1)
        await expect_signal()


async def test_rule_5_a_change_notifies_other_threads(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    with broker.watch([signals.changed(A)]) as watch:

        async def work(clone: Store) -> None:
            [held] = await take(clone)
            await clone.settle([end(held, clock, Failed(ValueError("no")))])

        await in_other_thread(broker, work)
        assert await is_notified(watch)
    assert [run.error for run in await runs(broker)] == ["ValueError: no"]


async def test_rule_16_a_long_traceback_is_stored_as_it_is_given(broker: Store, clock: FakeClock) -> None:
    error = "ValueError: " + "é" * 300
    trace = long_traceback(40, error)
    await put(broker, entry("a"))
    [held] = await take(broker)
    record = AttemptRecord(outcome=AttemptOutcome.FAILED, error=error, traceback=trace)
    ended = msgspec.structs.replace(end(held, clock, Failed(ValueError("no"))), record=record)
    assert await broker.settle([ended]) == [True]
    [run] = await runs(broker)
    assert (run.number, run.error, run.traceback) == (1, error, trace)


async def test_rule_16_the_failures_of_a_task_take_a_bounded_number_of_bytes(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a", max_retry=100))
    for number in range(2 * RUNS_KEPT):
        [held] = await take(broker)
        digests = [hashlib.md5(bytes([number, part])).hexdigest() for part in range(30)]
        outcome = Failed(ValueError(f"order {number} {''.join(digests)}"))
        trace = long_traceback(30 + number, "ValueError: no")
        live = AttemptRecord(worker="server-1", started_at=clock.now())
        ended = with_record(settlement(held, outcome, clock.now()), outcome, live, clock.now(), trace)
        assert await broker.settle([ended]) == [True]
        await broker.move(Action.RUN, [A])
    found = await runs(broker)
    assert len(found) == RUNS_KEPT
    # All brokers store records in this form.
    assert sum(len(encode_record(run)) for run in found) < 7_500
    for number, run in enumerate(found, RUNS_KEPT):
        # Both ends are kept.
        assert run.error.startswith(f"ValueError: order {number} ")
        assert "left out" in run.error
        assert "left out" in run.traceback
        assert run.traceback.startswith("Traceback (most recent call last):\n  File")
        assert f"line {29 + number}, in" in run.traceback
        assert run.traceback.endswith("ValueError: no\n")
