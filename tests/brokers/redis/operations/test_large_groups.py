"""A group of 20,000 members does not block other clients: every command on it is short."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.groups import BATCH_LEASE, BATCH_MEMBERS, GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient
from tests.builders import entry

MEMBERS = 20_000
BATCHES = MEMBERS // BATCH_MEMBERS
#: Microseconds.
SHORT = 10_000
RIPE = GroupRule(grace=0.0)


async def put_many(broker: RedisBroker) -> None:
    payload = b"x" * 200
    names = [f"{number:05}" for number in range(MEMBERS)]
    entries = [entry(id, group="g", payload=payload, unique=600.0, by=id.encode()) for id in names]
    assert set(await broker.enqueue(entries)) == {Admission.ACCEPTED}


async def busy(go: GoClient) -> float:
    """Microseconds of CPU time that this Redis has used."""
    cpu = await go.client.info("cpu")
    return 1e6 * float(cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])


@contextlib.asynccontextmanager
async def short_commands(go: GoClient) -> AsyncIterator[None]:
    """The slow log stays empty. It also counts the time in which others had the processor, so what it holds is
    weighed against the time that Redis itself was at work."""
    await go("CONFIG", "SET", "slowlog-log-slower-than", SHORT)
    await go("SLOWLOG", "RESET")
    await go("CONFIG", "RESETSTAT")
    before = await busy(go)
    yield
    spent = await busy(go) - before
    calls = await go.calls("evalsha", "eval")
    slow = await go("SLOWLOG", "GET", 10)
    assert not slow or spent / max(1, calls) < SHORT, (spent, calls, slow)


async def test_no_command_on_a_group_of_20000_is_slow(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    async with short_commands(go):
        await put_many(broker)
    for _ in range(BATCHES):  # one call per batch
        async with short_commands(go):
            [batch] = (await broker.claim_groups(["default"], RIPE, 1)).batches
        assert len(batch.messages) == BATCH_MEMBERS
    async with short_commands(go):
        [stats] = await broker.stats(["default"])
    assert (stats.aggregating, stats.groups) == (MEMBERS, 0)
    # When all batches are released
    clock.advance(BATCH_LEASE)
    while not (groups := await broker.groups("default")) or groups[0].size < MEMBERS:
        async with short_commands(go):
            await broker.sweep(["default"], 100)
    # Then the group can be flushed and merged
    async with short_commands(go):
        assert await broker.flush_group("default", "g") == MEMBERS
    async with short_commands(go):
        claimed = await broker.claim_groups(["default"], GroupRule(grace=1e9), 100)
    assert len(claimed.batches) == BATCHES
    for batch in claimed.batches:
        async with short_commands(go):
            assert await broker.merge_group(batch, entry(retention=1.0)) is Admission.ACCEPTED
    [stats] = await broker.stats(["default"])
    assert (stats.aggregating, stats.groups, stats.pending) == (0, 0, BATCHES)
    locks = await go("KEYS", "asynq:{default}:unique:*")
    assert locks == []


async def test_removing_a_queue_with_a_large_group_runs_in_chunks(broker: RedisBroker, go: GoClient) -> None:
    await put_many(broker)
    await broker.claim_groups(["default"], RIPE, 3)
    async with short_commands(go):
        await broker.remove_queue("default", force=True)
        assert await go.calls("evalsha", "eval") >= MEMBERS / 500
    assert await go("DBSIZE") == 0


async def test_b31_ids_without_a_task_make_no_batch(broker: RedisBroker, go: GoClient) -> None:
    # Given a group with only ids without a task, and one with a task
    groups = {"a": "g", "b": "g", "c": "h", "d": "h"}
    await broker.enqueue([entry(id, group=group) for id, group in groups.items()])
    await go("DEL", *(f"asynq:{{default}}:t:{id}" for id in "abc"))
    # When both are claimed
    claimed = await broker.claim_groups(["default"], RIPE, 100)
    # Then there is one batch with the task, and the ids are counted
    assert [[one.id for one in batch.messages] for batch in claimed.batches] == [["d"]]
    [stats] = await broker.stats(["default"])
    assert (stats.quarantined_total, stats.groups, stats.aggregating) == (3, 0, 1)
    assert await broker.find([TaskRef("default", "a")]) == [None]
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.AGGREGATING)) == 0
