"""Groups: claim ripe members as batches, replace each batch by one merged task."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.operations.enqueue import ANSWERS, REPLACED, enqueue, entry_options
from asynqio.brokers.redis.operations.forward import earliest
from asynqio.brokers.redis.operations.quarantine import decode_stored, quarantine
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.small_write import small_write
from asynqio.core.groups import BATCH_LEASE, BATCH_MEMBERS, GroupBatch, GroupPolicy, GroupRule
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from asynqio.errors import CorruptMessage

#: Groups read per call.
GROUPS_BATCH_SIZE = 100


async def claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    """See Broker.claim_groups. If the caller is cancelled, its batches are released."""

    async def release_all(claimed: Claimed) -> None:
        for batch in claimed.batches:
            await release(session, batch)

    work = _claim_groups(session, queues, policy, limit)
    return await session.background.run_or_undo(work, release_all)


async def _claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    batches: list[GroupBatch] = []
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        for queue in some:
            async for names in group_names(session, queue):
                rules = {name: rule for name in names if (rule := policy.rule_for(name)) is not None}
                more = bool(rules)
                while more and len(batches) < limit:
                    found, coming, more = await _claim(session, queue, rules, limit - len(batches))
                    batches.extend(found)
                    next_at.append(coming)

    await session.for_each_slot(queues, call, None)
    return Claimed(batches, earliest(next_at))


async def group_names(session: Session, queue: QueueKeys) -> Any:
    """The names of the listed groups of a queue, in chunks."""
    cursor = b"0"
    while True:
        cursor, names = await session.redis.command(
            queue.groups, "SSCAN", queue.groups, cursor, "COUNT", GROUPS_BATCH_SIZE
        )
        for start in range(0, len(names), GROUPS_BATCH_SIZE):
            yield [decode_lossy(name) for name in names[start : start + GROUPS_BATCH_SIZE]]
        if cursor == b"0":
            return


async def _claim(
    session: Session, queue: QueueKeys, rules: Mapping[str, GroupRule], limit: int
) -> tuple[list[GroupBatch], float | None, bool]:
    """Claimed batches, when the next group will be ripe, and whether more are ripe now."""
    now = session.clock.now()
    expires_at = float(math.ceil(now + BATCH_LEASE))
    keys = [queue.groups, queue.batches, queue.flushed, *(queue.group(name) for name in rules)]
    args: list[Arg] = [queue.prefix, repr(now), int(expires_at), limit, BATCH_MEMBERS, uuid.uuid4().hex]
    for name, rule in rules.items():
        args += (name, repr(rule.grace), repr(rule.max_delay), rule.max_batch, int(rule.max_size > 0))
    coming, more, *claimed = await session.run(LUA.claim_groups, keys, args)
    batches = []
    for id, group, *members in claimed:
        name = group.decode()
        batch = f"{queue.group(name)}:{id.decode()}"
        messages = await _decode(session, queue, batch, members)
        if messages:
            batches.append(GroupBatch(queue.name, name, id.decode(), messages, expires_at))
    return batches, None if coming is None else float(coming), bool(more)


async def _decode(session: Session, queue: QueueKeys, batch: str, members: list[Any]) -> list[TaskMessage]:
    messages = []
    damaged: list[tuple[bytes, bytes | None]] = []
    for id, msg, counters in zip(members[::3], members[1::3], members[2::3], strict=True):
        try:
            messages.append(decode_stored(queue, id, msg, counters))
        except CorruptMessage:
            damaged.append((id, msg))
    await quarantine(session, queue, damaged, batch)
    return messages


async def release(session: Session, batch: GroupBatch) -> None:
    """Return a batch to its group at once: expire its claim, and sweep expired claims."""
    queue = queue_keys(batch.queue)
    now = math.floor(session.clock.now())
    key = queue.batch(batch.group, batch.id)
    await small_write(session.redis, "ZADD", queue.batches, "XX", now, key)
    keys = [queue.completed, queue.archived, queue.batches, queue.groups, queue.known_groups]
    await session.run_idempotent(
        LUA.sweep, keys, [now, 0, session.archive_limit, 0, 0, BATCH_MEMBERS, queue.prefix]
    )


async def flush_group(session: Session, name: str, group: str) -> int:
    """See Inspection.flush_group."""
    queue = await session.registry.require(name)
    keys = [queue.group(group), queue.groups, queue.flushed]
    return int(await session.run_idempotent(LUA.flush_group, keys, [group]))


async def merge_group(session: Session, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
    """See Broker.merge_group."""
    home = queue_keys(batch.queue)
    target = queue_keys(merged.message.queue)
    if session.redis.clustered and home is not target:
        return await _merge_across_slots(session, batch, merged)
    now = session.clock.now()
    keys = [home.batch(batch.group, batch.id), home.batches, target.pending, target.task(merged.message.id)]
    args: list[Arg] = [target.prefix, repr(now), session.now_ns(), merged.message.id]
    args += (encode_task(merged.message), entry_options(merged, now), home.prefix)
    answer = await session.run_once(LUA.merge_group, keys, args)
    if answer == b"-":
        return None
    await session.registry.register([target.name])
    if answer.startswith(REPLACED):
        return Replaced(answer[1:].decode())
    return ANSWERS[answer.decode()]


async def _merge_across_slots(
    session: Session, batch: GroupBatch, merged: Entry
) -> Admission | Replaced | None:
    """Merge into another queue of a cluster, in two steps: enqueue the merged task, then delete the members.

    A crash in between loses nothing, but the members are aggregated again. (Servers merge within one queue.)
    """
    home = queue_keys(batch.queue)
    key = home.batch(batch.group, batch.id)
    if await session.redis.command(home.batches, "ZSCORE", home.batches, key) is None:
        return None
    [answer] = await enqueue(session, [merged])
    if answer is Admission.ACCEPTED or isinstance(answer, Replaced):
        await session.run_idempotent(LUA.delete_batch, [key, home.batches], [home.prefix])
    return answer
