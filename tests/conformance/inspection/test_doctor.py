"""`Inspector.examine`: the findings common to all stores, and none on a sound store."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.findings import Finding, Severity
from asynqio.core.groups import GroupRule, failed_again
from asynqio.core.info import WorkerInfo
from asynqio.core.task.message import TaskState
from asynqio.inspector.doctor import diagnose
from asynqio.testing import FakeClock
from tests.builders import entry, server_info
from tests.conformance.conftest import broker_of
from tests.conformance.helpers import entry_for, ids, put, put_in_state, snapshot, state_of, take

#: Findings that depend on the machine and the server of the tests: a test server stores nothing on disk, its clock is
#: not that of the test, and a tenant may not examine it.
ELSEWHERE = {"no-persistence", "clock-skew", "no-replica", "old-version", "disk-full", "store-not-examined"}


async def examined(broker: Store, *, fix: bool = False) -> list[Finding]:
    return [one for one in await diagnose(broker, fix=fix) if one.code not in ELSEWHERE]


def codes(found: list[Finding]) -> list[str]:
    return [one.code for one in found]


async def test_a_store_with_tasks_in_every_state_has_no_findings(broker: Store, clock: FakeClock) -> None:
    for state in TaskState:
        if state is not TaskState.PENDING:
            await put_in_state(
                broker, clock, state, entry_for(state, state.value, unique=600, payload=state.value.encode())
            )
    await put(broker, entry("waits"), entry("x", queue="other {x}"))
    await put(broker, *(entry(f"m{number}", group="h") for number in range(3)))
    await broker.claim_groups(["default"], GroupRule(grace=0.0, max_size=3), 1)
    await broker.beat(server_info(queues={"default": 1, "other {x}": 1}), 15)
    before = await snapshot(broker)
    seen: list[int] = []
    assert await examined(broker) == []
    assert await examined(broker, fix=True) == []
    await diagnose(broker, fix=False, progress=seen.append)
    assert seen == sorted(seen)
    assert await snapshot(broker) == before, "looking changes nothing"


async def test_an_empty_store_has_no_findings(broker: Store) -> None:
    assert await examined(broker) == []


async def test_tasks_without_a_server_and_pauses_are_found(broker: Store) -> None:
    await put(broker, entry("a"))
    await broker.pause("default", True)
    await broker.pause_type("default", "email:send", True)
    found = await examined(broker)
    assert codes(found) == ["no-server", "queue-paused", "type-paused"]
    assert [one.severity for one in found] == [Severity.WARNING, Severity.INFO, Severity.INFO]
    assert "1 tasks wait in queue 'default'" in found[0].sentence
    assert {one.queue for one in found} == {"default"}


async def test_unrecovered_tasks_are_found_and_fixed(broker: Store, clock: FakeClock) -> None:
    # Given a task whose server has died, long after its lease expired
    await broker.beat(server_info(), 1e6)
    await put(broker, entry("a"))
    await take(broker)
    clock.advance(300)
    # When the stats are read
    found = await examined(broker)
    assert codes(found) == ["not-recovered"]
    assert found[0].fixable
    assert not found[0].fixed
    assert await state_of(broker, "a") is TaskState.ACTIVE
    # Then it is fixed on demand only
    [repaired] = await examined(broker, fix=True)
    assert repaired.fixed
    assert await state_of(broker, "a") is TaskState.PENDING
    assert await examined(broker) == []


async def test_delayed_tasks_without_a_forwarder_are_found(broker: Store, clock: FakeClock) -> None:
    await broker.beat(server_info(), 1e6)
    await put(broker, entry("a", at=clock.now() + 10))
    clock.advance(65)
    assert await examined(broker) == []
    clock.advance(60)
    [finding] = await examined(broker)
    assert (finding.code, finding.severity) == ("overdue", Severity.ERROR)
    assert "115 s overdue" in finding.sentence


async def test_handlers_that_do_not_stop_are_found(broker: Store, clock: FakeClock) -> None:
    worker = WorkerInfo("default", "a", "slow", clock.now(), stuck=True)
    await broker.beat(server_info(workers=[worker]), 15)
    [finding] = await examined(broker)
    assert finding.code == "handlers-stuck"
    assert "'slow'" in finding.sentence


async def test_abandoned_batches_are_found_and_released(broker: Store, kind: str, clock: FakeClock) -> None:
    if broker_of(kind) == "memory":
        return  # the batch belongs to this process
    await broker.beat(server_info(), 1e6)
    await put(broker, entry("a", group="g"))
    await broker.claim_groups(["default"], GroupRule(grace=0.0), 1)
    clock.advance(1_000)
    assert codes(await examined(broker)) == ["batches-left"]
    [finding] = await examined(broker, fix=True)
    assert finding.fixed
    assert [group.group for group in await broker.groups("default")] == ["g"]
    assert await ids(broker, TaskState.AGGREGATING) == ["a"]
    assert await examined(broker) == []


async def test_a_server_that_missed_its_heartbeat_is_found(
    broker: Store, kind: str, clock: FakeClock
) -> None:
    if broker_of(kind) == "memory":
        return  # the server is in this process
    await broker.beat(server_info("host:1:one"), 15)
    assert await examined(broker) == []
    clock.advance(12)
    [finding] = await examined(broker)
    assert finding.code == "server-late"
    assert "host:1:one" in finding.sentence


async def test_the_most_severe_finding_comes_first(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"), entry("b", queue="other"))
    await take(broker, queues=["other"])
    await broker.pause("default", True)
    clock.advance(500)
    assert codes(await examined(broker)) == ["not-recovered", "no-server", "queue-paused"]


async def test_groups_that_no_server_aggregates_are_found(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="user:1"), entry("b", group="shop:1"), entry("c", group="shop:2"))
    # Servers without rules that match, all of which report their types
    await broker.beat(server_info("host:1:one", types=["email:"]), 15)
    await broker.beat(server_info("host:1:two", types=[], group_rules={"user:": GroupRule()}), 15)
    [finding] = await examined(broker)
    assert (finding.code, finding.severity) == ("groups-not-aggregated", Severity.WARNING)
    assert finding.sentence.startswith("2 groups of queue 'default' wait, but no server on it has")
    # A server of Go may aggregate them: it does not report its rules
    await broker.beat(server_info("host:1:go", types=None), 15)
    assert await examined(broker) == []


async def test_groups_whose_aggregation_fails_are_found(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", group="g"))
    await broker.beat(server_info(types=[], group_rules={"": GroupRule()}), 15)
    failure = None
    for _ in range(3):
        assert await examined(broker) == []
        [batch] = (await broker.claim_groups(["default"], GroupRule(grace=0.0), 1)).batches
        failure = failed_again(failure, "ValueError: no template", clock.now(), batch.oldest_at)
        await broker.return_batch(batch, failure)
        clock.advance(failure.retry_at - clock.now())
    await broker.beat(server_info(types=[], group_rules={"": GroupRule()}), 15)
    [finding] = await examined(broker)
    assert finding.code == "groups-failing"
    assert "'g' failed 3 times in a row: ValueError: no template" in finding.sentence
