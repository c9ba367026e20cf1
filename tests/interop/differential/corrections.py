"""The intended differences from Go; everything else must be equal.

A fix changes Go's database after certain steps, so that both sides continue from the same state. A view is a
permanent difference: it is removed from the comparison.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from asynqio.brokers.contract.limits import ARCHIVE_AGE, STATS_AGE
from asynqio.brokers.contract.results import Admission
from tests.interop.differential.pair import Pair, Step
from tests.interop.differential.snapshot import Snapshot, without

ALWAYS = frozenset[str]()


class Fix(NamedTuple):
    """Changes Go's database as Go should have done."""

    name: str
    reason: str
    after: frozenset[str]
    make: Callable[[Pair, Step], Awaitable[None]]


class View(NamedTuple):
    """Removes a difference from both snapshots."""

    name: str
    reason: str
    take: Callable[[Snapshot, Snapshot], None]


async def hashes(redis: Any) -> dict[str, dict[bytes, bytes]]:
    """All task hashes by key."""
    return {key.decode(): await redis.hgetall(key) async for key in redis.scan_iter("asynq:{*}:t:*")}


def queue_of(key: str) -> str:
    """The key prefix of the queue."""
    return key[: key.index("}") + 2]


async def free_leaked_lock(pair: Pair, step: Step) -> None:
    message = step.facts["message"]
    if step.facts["admission"] is Admission.ID_CONFLICT and message.unique_key:
        await pair.other.delete(message.unique_key)


async def name_group_of_scheduled(pair: Pair, step: Step) -> None:
    message = step.facts["message"]
    if step.facts["admission"] is Admission.ACCEPTED and step.facts["scheduled"] and message.group:
        prefix = f"asynq:{{{message.queue}}}:"
        await pair.other.hset(f"{prefix}t:{message.id}", "group", message.group)
        await pair.other.sadd(f"{prefix}groups", message.group)


async def name_lock_of_grouped(pair: Pair, step: Step) -> None:
    message = step.facts["message"]
    if step.facts["admission"] is Admission.ACCEPTED and message.unique_key:
        key = f"asynq:{{{message.queue}}}:t:{message.id}"
        await pair.other.hset(key, "unique_key", message.unique_key)


async def free_orphaned_locks(pair: Pair, step: Step) -> None:
    tasks = await hashes(pair.other)
    held = {(task.get(b"unique_key"), key.partition(":t:")[2].encode()) for key, task in tasks.items()}
    async for lock in pair.other.scan_iter("asynq:{*}:unique:*"):
        if (lock, await pair.other.get(lock)) not in held:
            await pair.other.delete(lock)


async def order_by_time(pair: Pair, step: Step) -> None:
    for queue, due in step.facts["due"].items():
        key = f"asynq:{{{queue}}}:pending"
        pending = await pair.other.lrange(key, 0, -1)
        moved = [id for id in due if id in pending]
        waited = [id for id in reversed(pending) if id not in due]
        await pair.other.delete(key)
        if pending:
            await pair.other.lpush(key, *waited, *moved)


async def list_groups(pair: Pair, step: Step) -> None:
    async for key in pair.other.scan_iter("asynq:{*}:g:*"):
        name = key.decode()
        prefix = queue_of(name)
        if not await pair.other.zscore(f"{prefix}aggregation_sets", key):
            await pair.other.sadd(f"{prefix}groups", name[len(prefix) + 2 :])


async def set_pending_since(pair: Pair, step: Step) -> None:
    for key, task in (await hashes(pair.other)).items():
        if task.get(b"state") == b"pending" and b"pending_since" not in task:
            await pair.other.hset(key, "pending_since", int(pair.now * 1e9))
        if task.get(b"state") == b"archived" and b"pending_since" in task:
            await pair.other.hdel(key, "pending_since")


async def trim_archives(pair: Pair, step: Step) -> None:
    cutoff = int(pair.now - ARCHIVE_AGE)
    async for key in pair.other.scan_iter("asynq:{*}:archived"):
        await pair.other.zremrangebyscore(key, "-inf", cutoff)
    for key, task in (await hashes(pair.other)).items():
        prefix, _, id = key.partition("t:")
        if task.get(b"state") == b"archived" and await pair.other.zscore(f"{prefix}archived", id) is None:
            await pair.other.delete(key)


async def remove_remaining_keys(pair: Pair, step: Step) -> None:
    async for key in pair.other.scan_iter(f"asynq:{{{step.facts['queue']}}}:*"):
        await pair.other.delete(key)


def ignore_private(mine: Snapshot, other: Snapshot) -> None:
    for key in list(mine):
        if key.startswith("asynqio:") or (key.startswith("asynq:{") and "}:asynqio:" in key):
            del mine[key]
        elif mine[key].type == "hash":
            private = [
                name for name in mine[key].content if isinstance(name, str) and name.startswith("asynqio:")
            ]
            without(mine, key, *private)


def ignore_empty_groups(mine: Snapshot, other: Snapshot) -> None:
    for side in (mine, other):
        for key in [key for key in side if key.endswith("}:groups")]:
            names = [name for name in side[key].content if f"{key[:-6]}g:{name.decode()}" in side]
            side[key] = side[key]._replace(content=names)
            if not names:
                del side[key]


def compare_expiry_of_counters(mine: Snapshot, other: Snapshot) -> None:
    for key in mine.keys() & other.keys():
        if ":processed:" in key or ":failed:" in key:
            ours, theirs = mine[key].ttl or 0.0, other[key].ttl or 0.0
            assert abs(ours - STATS_AGE) <= 60, f"{key} lives for {ours} s"
            assert theirs >= ours - 60, f"{key} lives for {ours} s, by Go for {theirs} s"
            mine[key], other[key] = mine[key]._replace(ttl=None), other[key]._replace(ttl=None)


FIXES = (
    Fix("B4", "a rejected entry leaves no lock", frozenset({"enqueue"}), free_leaked_lock),
    Fix("B2", "a delayed task stores its group", frozenset({"enqueue"}), name_group_of_scheduled),
    Fix("B5", "a grouped task stores its lock too", frozenset({"enqueue"}), name_lock_of_grouped),
    Fix("B14", "a removed queue leaves no keys", frozenset({"remove-queue"}), remove_remaining_keys),
    Fix(
        "B11",
        "tasks trimmed from an archive are deleted, and sweeps trim by age",
        frozenset({"archive", "move-archive", "sweep"}),
        trim_archives,
    ),
    Fix(
        "B5",
        "locks are released with their tasks in all cases",
        frozenset({"merge", "remove-queue", "move-delete", "archive", "move-archive", "sweep"}),
        free_orphaned_locks,
    ),
    Fix(
        "rule 8",
        "due tasks become pending in order of time, retries included",
        frozenset({"forward"}),
        order_by_time,
    ),
    Fix("B3", "joining a group lists the group", frozenset({"forward", "sweep"}), list_groups),
    Fix(
        "B28",
        "only a pending task stores since when it is pending",
        frozenset({"requeue", "move-run", "move-archive"}),
        set_pending_since,
    ),
)

VIEWS = (
    View("private", "fields and keys of asynqio, which Go ignores", ignore_private),
    View("B2", "a group without members may be listed while a member is scheduled", ignore_empty_groups),
    View(
        "expiry",
        "daily counters expire after 90 days by the clock of Redis, not of the caller",
        compare_expiry_of_counters,
    ),
)
