"""Groups: members become batches, batches become one task."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.redis.layout.keys import QueueKeys, queue_keys
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.operations import quarantine as damage
from asynqio.brokers.redis.operations.enqueue import ANSWERS, REPLACED, enqueue, spec
from asynqio.brokers.redis.operations.maintenance import earliest
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.groups import BATCH_LEASE, BATCH_MEMBERS, GroupBatch, GroupPolicy, GroupRule
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from asynqio.errors import CorruptMessage

#: Groups looked at per call.
GROUPS_TOGETHER = 100


async def claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    """See Broker.claim_groups. A cancelled caller's batches are given back."""

    async def give_back(claimed: Claimed) -> None:
        for batch in claimed.batches:
            await release(session, batch)

    return await session.finish(_claim_groups(session, queues, policy, limit), give_back)


async def _claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    batches: list[GroupBatch] = []
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        for queue in some:
            async for names in group_names(session, queue):
                rules = {name: rule for name in names if (rule := policy.of(name)) is not None}
                more = bool(rules)
                while more and len(batches) < limit:
                    found, coming, more = await _claim(session, queue, rules, limit - len(batches))
                    batches.extend(found)
                    next_at.append(coming)

    await session.each(queues, call, None)
    return Claimed(batches, earliest(next_at))


async def group_names(session: Session, queue: QueueKeys) -> Any:
    """The names of the groups of a queue that are listed, some at a time."""
    cursor = b"0"
    while True:
        cursor, names = await session.redis.command(
            queue.groups, "SSCAN", queue.groups, cursor, "COUNT", GROUPS_TOGETHER
        )
        for start in range(0, len(names), GROUPS_TOGETHER):
            yield [damage.shown(name) for name in names[start : start + GROUPS_TOGETHER]]
        if cursor == b"0":
            return


async def _claim(
    session: Session, queue: QueueKeys, rules: Mapping[str, GroupRule], limit: int
) -> tuple[list[GroupBatch], float | None, bool]:
    """Some batches, when the next group will be ripe, and whether there are more that are ripe now."""
    now = session.clock.now()
    expires_at = float(math.ceil(now + BATCH_LEASE))
    keys = [queue.groups, queue.batches, queue.flushed, *(queue.group(name) for name in rules)]
    args: list[Word] = [queue.prefix, repr(now), int(expires_at), limit, BATCH_MEMBERS, uuid.uuid4().hex]
    for name, rule in rules.items():
        args += (name, repr(rule.grace), repr(rule.max_delay), rule.most, int(rule.max_size > 0))
    coming, more, *claimed = await session.run(LUA.claim, keys, args)
    batches = []
    for id, group, *members in claimed:
        name = group.decode()
        batch = f"{queue.group(name)}:{id.decode()}"
        messages = await _read(session, queue, batch, members)
        if messages:
            batches.append(GroupBatch(queue.name, name, id.decode(), messages, expires_at))
    return batches, None if coming is None else float(coming), bool(more)


async def _read(session: Session, queue: QueueKeys, batch: str, members: list[Any]) -> list[TaskMessage]:
    messages = []
    damaged: list[tuple[bytes, bytes | None]] = []
    for id, msg, strikes in zip(members[::3], members[1::3], members[2::3], strict=True):
        try:
            messages.append(damage.read(queue, id, msg, strikes))
        except CorruptMessage:
            damaged.append((id, msg))
    await damage.quarantine(session, queue, damaged, batch)
    return messages


async def release(session: Session, batch: GroupBatch) -> None:
    """Give a batch back to its group at once: its time is over, and everything whose time is over is swept."""
    queue = queue_keys(batch.queue)
    now = math.floor(session.clock.now())
    key = queue.batch(batch.group, batch.id)
    await session.redis.command(queue.batches, "ZADD", queue.batches, "XX", now, key)
    keys = [queue.completed, queue.archived, queue.batches, queue.groups, queue.known_groups]
    await session.repeat(LUA.sweep, keys, [now, 0, session.archive_limit, 0, 0, BATCH_MEMBERS, queue.prefix])


async def flush(session: Session, queue: QueueKeys, group: str) -> int:
    """See Inspection.flush_group."""
    keys = [queue.group(group), queue.groups, queue.flushed]
    return int(await session.repeat(LUA.flush, keys, [group]))


async def merge_group(session: Session, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
    home = queue_keys(batch.queue)
    target = queue_keys(merged.message.queue)
    if session.redis.clustered and home is not target:
        return await _merge_elsewhere(session, batch, merged)
    now = session.clock.now()
    keys = [home.batch(batch.group, batch.id), home.batches, target.pending, target.task(merged.message.id)]
    args: list[Word] = [target.prefix, repr(now), session.nanoseconds(), merged.message.id]
    args += (encode_task(merged.message), spec(merged, now), home.prefix)
    answer = await session.certain(LUA.merge, keys, args)
    if answer == b"-":
        return None
    await session.listed([target.name])
    if answer.startswith(REPLACED):
        return Replaced(answer[1:].decode())
    return ANSWERS[answer.decode()]


async def _merge_elsewhere(session: Session, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
    """In a cluster two queues have no step in common: the merged task goes in first. A crash in between leaves the
    members to be aggregated once more, but loses nothing. (Servers keep merged tasks in the queue.)"""
    home = queue_keys(batch.queue)
    key = home.batch(batch.group, batch.id)
    if await session.redis.command(home.batches, "ZSCORE", home.batches, key) is None:
        return None
    [answer] = await enqueue(session, [merged])
    if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
        await session.repeat(LUA.dissolve, [key, home.batches], [home.prefix])
    return answer
