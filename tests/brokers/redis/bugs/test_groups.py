"""Go's bugs with groups and locks, each in the situation that triggers it."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.groups import BATCH_LEASE, GroupRule
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import archived, entry, message, settlement
from tests.conformance.helpers import ids, put, state_of, take

RIPE = GroupRule(grace=0.0)


def unique(id: str, payload: bytes = b"p", **fields: Any) -> TaskMessage:
    """A message with a lock, as Go writes it."""
    lock = unique_key("default", "email:send", payload)
    return message(id, payload=payload, unique_key=lock, **fields)


async def locks(go: GoClient) -> list[str]:
    return [name for name in await go.names() if name.startswith("unique:")]


# --- B2, B3: members of unlisted groups --------------------------------------------------------------


async def test_b02_a_delayed_task_of_a_group_joins_it_through_our_forwarder(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 10, group="g"))
    clock.advance(10)
    assert (await broker.forward(["default"], 10)).moved == 1
    assert await go.places("a") == ["g:g"]
    assert await go("SMEMBERS", key("groups")) == {b"g"}


async def test_b02_a_delayed_task_of_a_group_joins_it_through_gos_forwarder(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given a delayed member of a group that Go has emptied and unlisted
    await put(broker, entry("a", at=clock.now() + 10, group="g"), entry("b", group="g"))
    batch = await go.claim("g", "set")
    await go("DEL", batch, key("t:b"))
    await go("ZREM", key("aggregation_sets"), batch)
    clock.advance(10)
    # When Go forwards it, the group is not listed (B3), so no server would aggregate it
    await go.forward("a")
    assert await go.places("a") == ["g:g"]
    assert await go("EXISTS", key("groups")) == 0
    # Then our sweep lists it
    await broker.sweep(["default"], 10)
    assert await go("SMEMBERS", key("groups")) == {b"g"}
    [claimed] = (await broker.claim_groups(["default"], RIPE, 10)).batches
    assert [member.id for member in claimed.messages] == ["a"]


async def test_b03_members_released_by_go_are_found_in_unlisted_groups(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    # Given a group that was claimed by a Go server which died
    await go.add_to_group(message("a", group="g:1"))
    batch = await go.claim("g:1", "0a1b-2c")
    await broker.sweep(["default"], 10)
    assert await go.places("a") == ["g:g:1:0a1b-2c"]
    # When Go releases it without listing the group
    clock.advance(BATCH_LEASE)
    await go.reclaim(batch)
    assert await go("EXISTS", key("groups")) == 0
    # Then our sweep lists it again
    await broker.sweep(["default"], 10)
    assert await go("SMEMBERS", key("groups")) == {b"g:1"}
    assert await ids(broker, TaskState.AGGREGATING) == ["a"]


async def test_b03_a_batch_we_release_is_listed(broker: RedisBroker, go: GoClient, clock: FakeClock) -> None:
    await go.add_to_group(message("a", group="g"))
    await go.claim("g", "set")
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 10)
    assert await go.places("a") == ["g:g"]
    assert await go("SMEMBERS", key("groups")) == {b"g"}
    assert await go("EXISTS", key("aggregation_sets")) == 0


# --- B31: aggregating -----------------------------------------------------------------------------


async def test_b31_merging_is_atomic(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, *(entry(id, group="g") for id in "abc"))
    [batch] = (await broker.claim_groups(["default"], RIPE, 10)).batches
    await go("CONFIG", "RESETSTAT")
    assert await broker.merge_group(batch, entry("merged")) is Admission.ACCEPTED
    assert await go.calls("evalsha", "eval") <= 2  # once, or EVAL after NOSCRIPT
    assert await go.names() == ["asynqio:group_rules", "asynqio:groups", "pending", "t:merged"]
    assert await broker.merge_group(batch, entry("again")) is None
    assert await ids(broker, TaskState.PENDING) == ["merged"]


async def test_b31_a_rejected_merge_leaves_the_members(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("taken"), *(entry(id, group="g") for id in "ab"))
    [batch] = (await broker.claim_groups(["default"], RIPE, 10)).batches
    assert await broker.merge_group(batch, entry("taken")) is Admission.ID_CONFLICT
    assert await go.places("a") == [f"g:g:{batch.id}"]
    clock.advance(BATCH_LEASE)
    await broker.sweep(["default"], 10)
    assert await ids(broker, TaskState.AGGREGATING, group="g") == ["a", "b"]


async def test_b31_a_set_claimed_by_go_is_not_touched(broker: RedisBroker, go: GoClient) -> None:
    await go.add_to_group(message("a", group="g"))
    await go.claim("g", "set")
    await broker.sweep(["default"], 10)
    assert (await broker.claim_groups(["default"], RIPE, 10)).batches == []
    assert await broker.move(Action.DELETE, [TaskRef("default", "a")]) == [Moved.WRONG_STATE]
    assert await go.places("a") == ["g:g:set"]


# --- B4, B5: locks --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"at": 1_700_000_060.0}, {"group": "g"}], ids=["now", "later", "group"])
async def test_b04_a_refused_id_leaves_no_lock(
    broker: RedisBroker, go: GoClient, how: dict[str, Any]
) -> None:
    await put(broker, entry("a"))
    assert await broker.enqueue([entry("a", payload=b"p", unique=60.0, **how)]) == [Admission.ID_CONFLICT]
    assert await locks(go) == []
    assert await broker.enqueue([entry("b", payload=b"p", unique=60.0, **how)]) == [Admission.ACCEPTED]


async def test_b05_the_lock_of_a_group_member_is_stored_where_go_reads_it(
    broker: RedisBroker, go: GoClient
) -> None:
    await put(broker, entry("a", payload=b"p", group="g", unique=60.0))
    lock = unique_key("default", "email:send", b"p")
    assert (await go.task("a"))["unique_key"] == lock.encode()
    assert (await go.message("a")).unique_key == lock
    assert await go("GET", lock) == b"a"


async def _merge(broker: RedisBroker) -> None:
    [batch] = (await broker.claim_groups(["default"], RIPE, 10)).batches
    assert await broker.merge_group(batch, entry("merged")) is Admission.ACCEPTED


async def _delete(broker: RedisBroker) -> None:
    assert await broker.move(Action.DELETE, [TaskRef("default", "a")]) == [Moved.DONE]


async def _delete_all(broker: RedisBroker) -> None:
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.AGGREGATING, "g")) == 1


async def _drop(broker: RedisBroker) -> None:
    await broker.remove_queue("default", force=True)


WAYS = [_merge, _delete, _delete_all, _drop]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_b05_the_lock_of_our_group_member_is_freed_with_it(
    broker: RedisBroker, go: GoClient, way: object
) -> None:
    await put(broker, entry("a", payload=b"p", group="g", unique=60.0))
    assert len(await locks(go)) == 1
    await way(broker)  # type: ignore[operator]
    assert await locks(go) == []


@pytest.mark.parametrize("payload", [b"p", b"asynq:{default}:unique:", bytes(70_000)])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_b05_the_lock_of_gos_group_member_is_freed_with_it(
    broker: RedisBroker, go: GoClient, way: object, payload: bytes
) -> None:
    # Given a lock that is recorded only in the message
    await go.add_to_group(unique("a", payload, group="g"), ttl=60)
    assert "unique_key" not in await go.task("a")
    await way(broker)  # type: ignore[operator]
    assert await locks(go) == []


async def test_b05_a_lock_taken_by_another_task_is_kept(broker: RedisBroker, go: GoClient) -> None:
    await go.add_to_group(unique("a", group="g"), ttl=60)
    lock = unique_key("default", "email:send", b"p")
    await go("SET", lock, "b")
    await _merge(broker)
    assert await go("GET", lock) == b"b"


async def test_b05_deleting_all_pending_tasks_frees_their_locks(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a", payload=b"p", unique=60.0))
    assert await broker.move_all(Action.DELETE, Where("default", TaskState.PENDING)) == 1
    assert await locks(go) == []


async def test_b05_a_lock_is_kept_by_retry_and_archive_as_go_keeps_it(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", payload=b"p", unique=60.0))
    [held] = await take(broker)
    await broker.settle([archived(held, clock.now())])
    assert await go("GET", unique_key("default", "email:send", b"p")) == b"a"


async def test_b05_completing_gos_unique_task_frees_its_lock(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await go.add_to_group(unique("a", group="g"), ttl=60)
    await broker.move(Action.RUN, [TaskRef("default", "a")])
    [held] = await take(broker)
    assert await broker.settle([settlement(held, now=clock.now())]) == [True]
    assert await locks(go) == []


# --- B36: other payloads --------------------------------------------------------------------------


@pytest.mark.parametrize("state", [TaskState.PENDING, TaskState.SCHEDULED])
async def test_b36_rewriting_the_payload_moves_the_lock(
    broker: RedisBroker, go: GoClient, clock: FakeClock, state: TaskState
) -> None:
    at = clock.now() + 60 if state is TaskState.SCHEDULED else 0.0
    await put(broker, entry("a", payload=b"old", unique=600.0, at=at))
    assert await broker.rewrite({TaskRef("default", "a"): b"new"}) == [Moved.DONE]
    lock = unique_key("default", "email:send", b"new")
    assert await locks(go) == [lock.removeprefix(key(""))]
    assert await go("GET", lock) == b"a"
    assert await go("TTL", lock) > 0
    task, stored = await go.task("a"), await go.message("a")
    assert (task["unique_key"], stored.unique_key, stored.payload) == (lock.encode(), lock, b"new")
    assert task["state"].decode() == state
    answers = await broker.enqueue([entry(id, payload=id.encode(), unique=60.0) for id in ("old", "new")])
    assert answers == [Admission.ACCEPTED, Admission.DUPLICATE]


async def test_b36_a_task_dequeued_meanwhile_is_not_rewritten(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a", payload=b"old"))
    await take(broker)
    before = await go.task("a")
    assert await broker.rewrite({TaskRef("default", "a"): b"new"}) == [Moved.WRONG_STATE]
    assert await go.task("a") == before
    assert await state_of(broker, "a") is TaskState.ACTIVE
