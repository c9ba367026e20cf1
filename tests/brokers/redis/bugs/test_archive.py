"""Go's bugs with full archives and bulk operations, each in the situation that triggers it."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT
from asynqio.brokers.contract.results import Moved
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import QueueNotFound, WrongState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import archived, entry, message, settlement
from tests.conformance.helpers import find_task, get_task, ids, put, state_of, take

#: More than Go's script can unpack onto its stack (7,999).
MANY = 9_000


async def archive(broker: RedisBroker, clock: FakeClock, id: str) -> None:
    """Archive a task as a worker does."""
    await put(broker, entry(id))
    [held] = await take(broker)
    assert await broker.settle([archived(held, clock.now())]) == [True]


async def test_b10_archiving_works_beside_thousands_of_tasks_that_are_too_old(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given more tasks past 90 days than one script can delete
    await go.archive_many([f"old-{number}" for number in range(MANY)], clock.now() - ARCHIVE_AGE - 1)
    # When one more is archived
    await archive(broker, clock, "new")
    # Then it is archived, and counted
    assert await go.places("new") == ["archived"]
    assert (await go.task("new"))["state"] == b"archived"
    [stats] = await broker.stats(["default"])
    assert (stats.processed, stats.failed, stats.active) == (1, 1, 0)
    # and the old ones are evicted in chunks by the next calls
    assert 0 < stats.evicted_total < MANY
    assert stats.archived == MANY + 1 - stats.evicted_total
    for _ in range(20):
        await broker.sweep(["default"], 10)
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.evicted_total) == (1, MANY)
    assert [name for name in await go.names() if name.startswith("t:")] == ["t:new"]


async def test_b11_archiving_into_a_full_archive_leaks_no_hash(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given a full archive, and pending tasks
    await go.archive_many([f"old-{number:05}" for number in range(ARCHIVE_LIMIT)], clock.now() - 60)
    await put(broker, *(entry(f"new-{number}") for number in range(3)))
    # When they are archived
    assert await broker.move_all(Action.ARCHIVE, Where("default", TaskState.PENDING)) == 3
    # Then the oldest are evicted with their hashes, and counted
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.evicted_total) == (ARCHIVE_LIMIT, 3)
    assert sum(name.startswith("t:") for name in await go.names()) == ARCHIVE_LIMIT
    assert await find_task(broker, "old-00002") is None
    # and their ids can be used again
    await put(broker, entry("old-00000"))


async def test_b11_hashes_leaked_by_gos_inspector_can_be_run_and_deleted(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given hashes of tasks that Go's inspector has trimmed from the archive
    await go.archive_many(["a", "b"], clock.now())
    await go("ZREM", key("archived"), "a", "b")
    # When an operator acts on them
    assert await broker.move(Action.RUN, [TaskRef("default", "a")]) == [Moved.DONE]
    assert await broker.move(Action.DELETE, [TaskRef("default", "b")]) == [Moved.DONE]
    # Then they are consistent again, or deleted
    assert await go.places("a") == ["pending"]
    assert await go.task("b") == {}


async def test_b12_an_archive_keeps_10000_tasks_including_the_newest(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given an archive with room for one task, all with the same score
    await go.archive_many([f"m-{number}" for number in range(ARCHIVE_LIMIT - 1)], clock.now())
    await archive(broker, clock, "z")
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.evicted_total) == (ARCHIVE_LIMIT, 0)
    # When another task is archived in that second, whose id is alphabetically first
    await archive(broker, clock, "a")
    # Then the new one is kept, and an old one is evicted and counted
    assert await go.places("a") == ["archived"]
    assert (await get_task(broker, "a")).state is TaskState.ARCHIVED
    [stats] = await broker.stats(["default"])
    assert (stats.archived, stats.evicted_total) == (ARCHIVE_LIMIT, 1)
    assert sum(name.startswith("t:") for name in await go.names()) == ARCHIVE_LIMIT


async def test_b12_an_operator_archiving_a_task_does_not_evict_it(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await go.archive_many([f"m-{number}" for number in range(ARCHIVE_LIMIT)], clock.now())
    await put(broker, entry("a"))
    assert await broker.move(Action.ARCHIVE, [TaskRef("default", "a")]) == [Moved.DONE]
    assert await state_of(broker, "a") is TaskState.ARCHIVED


# --- B13: everything at once ----------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
async def test_b13_bulk_actions_run_in_chunks(
    broker: RedisBroker, go: GoClient, clock: FakeClock, action: Action
) -> None:
    size = 20_000
    state = TaskState.ARCHIVED if action is Action.RUN else TaskState.PENDING
    if state is TaskState.ARCHIVED:
        await go.archive_many([str(number) for number in range(size)], clock.now())
    else:
        await put(broker, *(entry(str(number)) for number in range(size)))
    await go("CONFIG", "RESETSTAT")
    assert await broker.move_all(action, Where("default", state)) == size
    assert await go.calls("evalsha", "eval") >= size / 200
    [stats] = await broker.stats(["default"])
    assert getattr(stats, state.value) == 0
    assert stats.pending == (size if action is Action.RUN else 0)
    if action is Action.ARCHIVE:  # more than the archive keeps: evicted tasks are counted
        assert (stats.archived, stats.evicted_total) == (ARCHIVE_LIMIT, size - ARCHIVE_LIMIT)


async def test_b13_listing_many_tasks_runs_in_chunks(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, *(entry(str(number)) for number in range(2_000)))
    await go("CONFIG", "RESETSTAT")
    assert len(await broker.tasks(Where("default", TaskState.PENDING), Page(size=2_000))) == 2_000
    assert await go.calls("evalsha", "eval") >= 10


async def test_b13_groups_are_listed_and_moved_in_chunks(broker: RedisBroker, go: GoClient) -> None:
    where = Where("default", TaskState.AGGREGATING)
    size = 5_000
    await put(broker, *(entry(f"{number:04}", group=f"g{number % 3}") for number in range(size)))
    await go("CONFIG", "RESETSTAT")
    # A page reads only what it shows of each group
    page = await broker.tasks(where, Page(size=20, offset=10))
    assert [info.id for info in page] == [f"{number:04}" for number in range(10, 30)]
    assert (await go("INFO", "stats"))["total_net_output_bytes"] < 50_000
    # All tasks are read in chunks
    everything = await broker.tasks(where, Page(size=size))
    assert [info.id for info in everything] == [f"{number:04}" for number in range(size)]
    await go("CONFIG", "RESETSTAT")
    assert await broker.move_all(Action.DELETE, where) == size
    assert await go.calls("evalsha", "eval") >= 2 * size / 200
    assert await broker.tasks(where, Page()) == []


async def test_b13_lapsed_leases_are_read_in_chunks(broker: RedisBroker, clock: FakeClock) -> None:
    await put(broker, *(entry(str(number)) for number in range(500)))
    await take(broker, 500)
    clock.advance(30)
    assert len((await broker.expired(["default"], 100)).leases) == 100


# --- B14: dropping a queue ------------------------------------------------------------------------


async def test_b14_a_removed_queue_leaves_no_key(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    # Given a queue with tasks in every list and set, and a queue whose name begins like it
    await put(broker, entry("done", unique=60.0, payload=b"1", retention=60.0), entry("gone"))
    await broker.settle([settlement(held, now=clock.now()) for held in await take(broker, 2)])
    for id, end in (("dead", archived),):
        await put(broker, entry(id, unique=60.0, payload=b"2"))
        [held] = await take(broker)
        await broker.settle([end(held, clock.now())])
    await put(
        broker,
        entry("pending", unique=60.0, payload=b"3"),
        entry("later", at=clock.now() + 60, unique=60.0, payload=b"4"),
        entry("claimed", group="h:1", unique=60.0, payload=b"5"),
    )
    await broker.claim_groups(["default"], GroupRule(grace=0.0), 10)
    await put(broker, entry("member", group="g", unique=60.0, payload=b"6"), entry("b", queue="default}"))
    await go.add_to_group(
        message("go", group="g", unique_key=key("unique:email:send:"), payload=None), ttl=60
    )
    await go("RPUSH", key("pending"), "ghost")
    await broker.pause("default", True)
    await broker.pause_type("default", "email:send", True)
    # and unlisted keys: hashes leaked by Go's inspector, locks of deleted tasks, old counters
    await go.archive_many(["leaked"], clock.now())
    await go("ZREM", key("archived"), "leaked")
    await go("SET", key("unique:x:y"), "gone")
    await go("SET", key("processed:2020-01-01"), 5)
    await go("ZADD", key("deadlines"), 1, "old")
    await put(broker, entry("inside", queue="default}:x"), entry("c", queue="default}:[x]*"))
    mine = key("")
    others = {name for name in await go("KEYS", "*") if not name.startswith(mine.encode())}
    others |= {name for name in await go("KEYS", "*") if name.startswith(f"{mine}x}}:".encode())}
    others |= {name for name in await go("KEYS", "*") if name.startswith(f"{mine}[x]*}}:".encode())}
    # When it is dropped
    with pytest.raises(WrongState, match="force=True"):
        await broker.remove_queue("default")
    seen: list[int] = []
    await broker.remove_queue("default", force=True, progress=seen.append)
    # Then none of its keys is left, and all keys of the other queues
    assert set(await go("KEYS", "*")) == others
    assert await go("SMEMBERS", "asynq:queues") == {b"default}", b"default}:x", b"default}:[x]*"}
    assert seen == sorted(seen)
    assert seen[-1] == 9, "tasks, the one without a place and the one without a task included"


async def test_b14_removing_a_queue_named_like_a_pattern_affects_no_other(
    broker: RedisBroker, go: GoClient
) -> None:
    await put(broker, entry("a", queue="a*[b]?"), entry("b", queue="axbb"))
    await broker.remove_queue("a*[b]?", force=True)
    assert [name for name in await go("KEYS", "*") if b"a*[b]?" in name] == []
    assert await ids(broker, TaskState.PENDING, "axbb") == ["b"]


async def test_b14_a_large_queue_is_removed_in_chunks(broker: RedisBroker, go: GoClient) -> None:
    # Given more tasks and groups than one step removes
    await put(broker, *(entry(str(number)) for number in range(1_200)))
    await put(broker, *(entry(f"g{number}", group=f"g{number}") for number in range(700)))
    seen: list[int] = []
    # When it is dropped
    await broker.remove_queue("default", force=True, progress=seen.append)
    # Then it is removed completely, in several steps
    assert len(seen) >= 4
    assert seen[-1] == 1_900
    assert await go.names() == []


async def test_b14_an_interrupted_removal_leaves_a_paused_queue_and_can_be_repeated(
    broker: RedisBroker, clock: FakeClock
) -> None:
    await put(broker, *(entry(str(number)) for number in range(1_200)))

    def die(removed: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await broker.remove_queue("default", force=True, progress=die)
    [stats] = await broker.stats(["default"])
    assert stats.paused
    assert 0 < stats.pending < 1_200
    assert await take(broker, 10) == []
    await broker.remove_queue("default", force=True)
    assert await broker.queues() == []


async def test_b14_the_pause_of_an_interrupted_removal_ends(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, *(entry(str(number)) for number in range(1_200)))
    await put(broker, *(entry(str(number), queue="paused") for number in range(1_200)))
    await broker.pause("paused", True)

    def die(removed: int) -> None:
        raise KeyboardInterrupt

    for queue in ("default", "paused"):
        with pytest.raises(KeyboardInterrupt):
            await broker.remove_queue(queue, force=True, progress=die)
    assert 0 < await go("TTL", key("paused")) <= 60
    assert await go("TTL", "asynq:{paused}:paused") == -1, "an operator paused it"


@pytest.mark.parametrize("state", [TaskState.COMPLETED, TaskState.AGGREGATING])
async def test_b14_a_queue_with_completed_or_aggregating_tasks_is_not_empty(
    broker: RedisBroker, state: TaskState, clock: FakeClock
) -> None:
    group = "g" if state is TaskState.AGGREGATING else ""
    await put(broker, entry("a", retention=60.0, group=group))
    if not group:
        await broker.settle([settlement(held, now=clock.now()) for held in await take(broker)])
    with pytest.raises(WrongState, match="1 tasks"):
        await broker.remove_queue("default")
    assert await ids(broker, state) == ["a"]


# --- B29: operators and unknown queues ------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
async def test_b29_every_operation_names_an_unknown_queue(broker: RedisBroker, action: Action) -> None:
    nowhere = Where("nowhere", TaskState.ARCHIVED)
    for call in (
        broker.move_all(action, nowhere),
        broker.tasks(nowhere, Page()),
        broker.stats(["nowhere"]),
        broker.history("nowhere", 1),
        broker.groups("nowhere"),
        broker.remove_queue("nowhere"),
    ):
        with pytest.raises(QueueNotFound, match="'nowhere'"):
            await call


async def test_b29_lists_have_the_documented_order_on_every_page(
    broker: RedisBroker, clock: FakeClock
) -> None:
    for id in "abc":
        await archive(broker, clock, id)
        clock.advance(1)
    where = Where("default", TaskState.ARCHIVED)
    assert [info.id for info in await broker.tasks(where, Page(2))] == ["c", "b"]
    assert [info.id for info in await broker.tasks(where, Page(2, 2))] == ["a"]
    for size, offset in ((0, 0), (-1, 0), (1, -1)):
        with pytest.raises(ValueError, match="size must be at least 1"):
            Page(size, offset)
