"""`explain` on prepared situations: every broker gives the text of the golden file in tests/data/explain.

`ASYNQIO_WRITE_GOLDEN=1` writes the texts of the memory broker again; review the diff.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from asynqio import Explanation, Inspector
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Output
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptRecord, LogLine
from asynqio.core.groups import GroupRule, failed_again
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.core.lifecycle import DONE, Action, Deferred, Failed, Lease, Outcome, Policy, decide
from asynqio.core.retry import FixedRetry
from asynqio.core.schedules.firing import SCHEDULE_HEADER, TICK_HEADER
from asynqio.core.task.message import TaskRef
from asynqio.errors import BadPayload, DeadlineExceeded, HandlerNotFound, LeaseExpired, RetryIn, SkipRetry
from asynqio.testing import FakeClock
from tests.builders import entry, server_info
from tests.conformance.helpers import put, take

GOLDEN = Path(__file__).parents[2] / "data" / "explain"
POLICY = Policy(retry=FixedRetry(250.0))
ONE = "host-a:11:one"

Situation: TypeAlias = Callable[[Store, FakeClock], Awaitable[None]]
SITUATIONS: dict[str, Situation] = {}


def situation(prepare: Situation) -> Situation:
    """Register a situation of task `a` in queue `default`, described by its name."""
    SITUATIONS[prepare.__name__] = prepare
    return prepare


async def serve(broker: Store, id: str = ONE, **fields: object) -> ServerInfo:
    """A server that processes the queue and has a handler for the type."""
    facts = {"host": "host-a", "pid": 11, "concurrency": 10, "types": ["email:", "report"], **fields}
    server = server_info(id, **facts)
    await broker.beat(server, 20.0)
    return server


async def settle(
    broker: Store, clock: FakeClock, held: Lease, outcome: Outcome, policy: Policy = POLICY
) -> None:
    """End the attempt two seconds after its start."""
    began = clock.now()
    clock.advance(2)
    end = decide(held, outcome, clock.now(), policy)
    live = AttemptRecord(worker=ONE, started_at=began)
    assert await broker.settle([with_record(end, outcome, live, clock.now())]) == [True]


async def fail(broker: Store, clock: FakeClock, error: BaseException, policy: Policy = POLICY) -> None:
    [held] = await take(broker, owner=ONE)
    await settle(broker, clock, held, Failed(error), policy)


@situation
async def scheduled(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", at=clock.now() + 4 * 60 + 10))


@situation
async def scheduled_for_a_paused_queue(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", at=clock.now() + 3 * 86_400))
    await broker.pause("default", True)


@situation
async def due_without_a_server(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", at=clock.now() + 60))
    clock.advance(75)


@situation
async def queue_is_paused(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a"))
    await broker.pause("default", True)
    clock.advance(12)


@situation
async def type_is_paused(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", type="report"))
    await broker.pause_type("default", "report", True)
    clock.advance(12)


@situation
async def deferred_because_its_type_is_paused(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", type="report"))
    await broker.pause_type("default", "report", True)
    [held] = await take(broker, owner=ONE)
    await settle(broker, clock, held, Deferred(5.0))


@situation
async def from_a_schedule(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", headers={SCHEDULE_HEADER: "nightly", TICK_HEADER: f"{clock.now() - 2:.0f}"}))


@situation
async def from_a_triggered_schedule(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", headers={SCHEDULE_HEADER: "nightly"}))


@situation
async def no_server(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    clock.advance(95)


@situation
async def no_server_on_the_queue(broker: Store, clock: FakeClock) -> None:
    await serve(broker, queues={"mail": 1, "critical": 5})
    await put(broker, entry("a"))
    clock.advance(5)


@situation
async def no_handler_for_the_type(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", type="emial:send"))
    clock.advance(1)


@situation
async def deferred_without_a_handler(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", type="emial:send"))
    await fail(broker, clock, HandlerNotFound("emial:send"))


@situation
async def waiting_for_a_slot(broker: Store, clock: FakeClock) -> None:
    await put(broker, *(entry(f"before-{number}") for number in range(41)))
    clock.advance(30)
    await put(broker, entry("a"))
    busy = [WorkerInfo("default", f"running-{number}", "email:send", clock.now()) for number in range(2)]
    await serve(broker, concurrency=2, workers=busy)


@situation
async def server_with_unknown_types(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await serve(broker, types=None)


@situation
async def waiting_for_its_retry(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", max_retry=5))
    await fail(broker, clock, ValueError("the mail server is busy\n(try later)"))
    await broker.move(Action.RUN, [TaskRef("default", "a")])
    await fail(broker, clock, TimeoutError("30 s are over"))
    await serve(broker)


@situation
async def deferred_by_its_handler(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, RetryIn(600))
    await serve(broker)


@situation
async def running(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker, owner=ONE)
    began = clock.now()
    clock.advance(10)
    explanation = AttemptRecord(worker=ONE, started_at=began, log=[LogLine(began + 8, "row 4200 of 10000")])
    await broker.write_output([Output(held, progress=b'{"rows":4200}', live=explanation)])
    await serve(broker, workers=[WorkerInfo("default", "a", "email:send", began, began + 1800)])


@situation
async def running_with_an_expired_lease(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await take(broker, owner=ONE, lease=30)
    began = clock.now()
    clock.advance(33)
    await serve(broker, workers=[WorkerInfo("default", "a", "email:send", began, stuck=True)])


@situation
async def worker_lost(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [held] = await take(broker, owner="host-b:7:gone", lease=30)
    explanation = AttemptRecord(
        worker="host-b:7:gone", started_at=clock.now(), log=[LogLine(clock.now(), "begins")]
    )
    await broker.write_output([Output(held, live=explanation)])
    clock.advance(18)
    await serve(broker)


@situation
async def lease_expired_without_a_server(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await take(broker, owner="host-b:7:gone", lease=30)
    clock.advance(50)


@situation
async def worker_died_once(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, LeaseExpired())
    await serve(broker)


@situation
async def retries_used_up(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", max_retry=1))
    await fail(broker, clock, ValueError("no"))
    await broker.move(Action.RUN, [TaskRef("default", "a")])
    await fail(broker, clock, ValueError("no again"))


@situation
async def handler_skipped_retries(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, SkipRetry("there is no such customer"))


@situation
async def bad_payload(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, BadPayload("email:send", "'to' is missing"))


@situation
async def crash_loop(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    for _ in range(3):
        await fail(broker, clock, LeaseExpired())


@situation
async def archived_by_an_operator(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await fail(broker, clock, ValueError("no"))
    await broker.move(Action.ARCHIVE, [TaskRef("default", "a")])


@situation
async def in_a_group(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("b", group="digest"))
    clock.advance(20)
    await put(broker, entry("a", group="digest"))
    clock.advance(5)
    await serve(broker, group_rules={"": GroupRule(60, 120)})


@situation
async def group_without_an_aggregate_function(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="digest"))
    await serve(broker)


@situation
async def group_without_a_server(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="digest"))


@situation
async def group_that_failed(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="digest"))
    await serve(broker, group_rules={"": GroupRule(0)})
    failure = None
    for _ in range(3):
        [batch] = (await broker.claim_groups(["default"], GroupRule(0), 1)).batches
        failure = failed_again(failure, "ValueError: no template", clock.now(), batch.oldest_at)
        await broker.return_batch(batch, failure)
        if failure.failures < 3:
            clock.advance(failure.retry_at - clock.now())


@situation
async def archived_with_its_group(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="digest"))
    await serve(broker, group_rules={"": GroupRule(0)})
    [batch] = (await broker.claim_groups(["default"], GroupRule(0), 1)).batches
    text = "aggregation failed 10 times in a row. Last: ValueError: no template"
    failure = failed_again(None, text, clock.now(), batch.oldest_at)
    await broker.return_batch(batch, failure, archive=True)


@situation
async def archived_and_past_its_deadline(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", deadline=clock.now() + 10))
    await serve(broker)
    [held] = await take(broker, owner=ONE)
    clock.advance(10)
    await settle(broker, clock, held, Failed(DeadlineExceeded(10.0)))
    await serve(broker)


@situation
async def in_a_batch(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="digest"))
    await serve(broker, group_rules={"": GroupRule(60)})
    await broker.claim_groups(["default"], GroupRule(0), 1)


@situation
async def completed(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", retention=3600.0))
    [held] = await take(broker, owner=ONE)
    await broker.write_output([Output(held, result=b'"sent"')])
    await settle(broker, clock, held, DONE)
    clock.advance(40)


@situation
async def holds_a_lock(broker: Store, clock: FakeClock) -> None:
    await serve(broker)
    await put(broker, entry("a", unique=600.0))


@situation
async def lock_held_by_another_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", unique=60.0, at=clock.now() + 300))
    clock.advance(61)
    await put(broker, entry("b", unique=600.0))
    await serve(broker)


@situation
async def not_found(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("b"))


@situation
async def in_another_queue(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", queue="mail"), entry("b"))


async def explained(broker: Store) -> Explanation:
    async with Inspector(broker) as inspector:
        return await inspector.explain("a")


@pytest.mark.parametrize("name", SITUATIONS)
async def test_explain_prints_the_expected_text(
    kind: str, broker: Store, clock: FakeClock, name: str
) -> None:
    await SITUATIONS[name](broker, clock)
    explanation = await explained(broker)
    golden = GOLDEN / f"{name}.txt"
    text = f"[{explanation.situation}]\n{explanation.text()}\n"
    if os.environ.get("ASYNQIO_WRITE_GOLDEN") and kind == "memory":
        await asyncio.to_thread(golden.write_text, text)
    assert text == await asyncio.to_thread(golden.read_text)
    assert explanation.queue == "default"
    assert (explanation.state is None) == (name in ("not_found", "in_another_queue"))


@pytest.mark.parametrize("name", SITUATIONS)
async def test_the_advice_to_run_a_task_makes_it_run(broker: Store, clock: FakeClock, name: str) -> None:
    """If the first advice is to run the task, that is enough for a server to take it."""
    await SITUATIONS[name](broker, clock)
    before = await explained(broker)
    advice = [remedy for remedy in before.remedies if "asynqio task run" in remedy]
    if not advice:
        return
    assert await broker.move(Action.RUN, [TaskRef("default", "a")]) == [Moved.DONE]
    after = await explained(broker)
    if advice[0].startswith("Run"):
        assert after.situation == "waiting-for-slot"
    else:
        assert advice[0].startswith("Then run")
        assert before.remedies.index(advice[0]) > 0
        assert name == "bad_payload" or after.situation != "waiting-for-slot"
        assert set(after.remedies) < set(before.remedies), "the way to remove the cause comes first"


def test_every_golden_text_is_used() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(SITUATIONS)
