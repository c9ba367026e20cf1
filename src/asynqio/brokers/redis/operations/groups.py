"""Groups: claim ripe members as batches, replace each batch by one merged task."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from asynqio.brokers.contract.results import Admission, Claimed, Replaced
from asynqio.brokers.redis.chunking import by_queue, chunks
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy, queue_keys
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.brokers.redis.operations.enqueue import ANSWERS, REPLACED, enqueue, entry_options
from asynqio.brokers.redis.operations.quarantine import decode_stored, quarantine
from asynqio.brokers.redis.rounds import earliest
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.session import Session
from asynqio.core.groups import (
    BATCH_LEASE,
    BATCH_MEMBERS,
    GroupBatch,
    GroupFailure,
    GroupPolicy,
    GroupRule,
    policy_id,
)
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from asynqio.errors import CorruptMessage

#: Groups read per call.
GROUPS_BATCH_SIZE = 100


async def claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    """See Broker.claim_groups. If the caller is cancelled, its batches are released."""

    async def release_all(claimed: Claimed) -> None:
        for batch in claimed.batches:
            await return_batch(session, batch)

    claim = _claim_named if policy.exact else _claim_groups
    work = claim(session, queues, policy, limit)
    return await session.background.run_or_undo(work, release_all)


async def _claim_groups(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    batches: list[GroupBatch] = []
    next_at: list[float | None] = []
    rules, id = policy.rules, policy_id(policy)
    shared: list[Arg] = [id, len(rules)]
    for pattern, rule in rules.items():
        shared += (pattern, *_rule_args(rule))

    async def call(some: list[QueueKeys]) -> None:
        while some and len(batches) < limit:
            args = [*shared, *(queue.prefix for queue in some)]
            keys = [
                key
                for queue in some
                for key in (*_claim_keys(queue), queue.group_rules, queue.due_groups(id))
            ]
            done, coming, claimed = await _claim(
                session, LUA.claim_groups, some, keys, args, limit - len(batches)
            )
            batches.extend(claimed)
            next_at.append(coming)
            some = some[done:]

    await session.for_each_slot(queues, call, None)
    return Claimed(batches, earliest(next_at))


async def _claim_named(session: Session, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
    """Claim groups by name: only these are read."""
    batches: list[GroupBatch] = []
    next_at: list[float | None] = []

    async def call(some: list[QueueKeys]) -> None:
        named = [(queue, group, rule) for queue in some for group, rule in policy.rules.items()]
        while named and len(batches) < limit:
            part = named[:GROUPS_BATCH_SIZE]
            places = {queue: place for place, queue in enumerate(dict.fromkeys(queue for queue, *_ in part))}
            args: list[Arg] = [queue.prefix for queue in places]
            for queue, group, rule in part:
                args += (places[queue], group, *_rule_args(rule))
            keys = [key for queue in places for key in _claim_keys(queue)]
            done, coming, claimed = await _claim(
                session, LUA.claim_named, list(places), keys, args, limit - len(batches)
            )
            batches.extend(claimed)
            next_at.append(coming)
            named = named[done:]
        if named:  # not all are checked
            next_at.append(session.clock.now())

    await session.for_each_slot(queues, call, None)
    return Claimed(batches, earliest(next_at))


def _claim_keys(queue: QueueKeys) -> tuple[str, ...]:
    return queue.groups, queue.batches, queue.flushed, queue.known_groups


def _rule_args(rule: GroupRule) -> tuple[Arg, ...]:
    return repr(rule.grace), repr(rule.max_delay), rule.max_batch, int(rule.max_size > 0)


async def _claim(
    session: Session,
    script: Script,
    queues: Sequence[QueueKeys],
    keys: Sequence[str],
    args: Sequence[Arg],
    limit: int,
) -> tuple[int, float | None, list[GroupBatch]]:
    """Call a script that claims groups. Returns how much of the work is done, when the next group will be ripe, and
    the batches."""
    now = session.clock.now()
    expires_at = float(math.ceil(now + BATCH_LEASE))
    first: list[Arg] = [repr(now), int(expires_at), limit, BATCH_MEMBERS, uuid.uuid4().hex]
    done, coming, *claimed = await session.run(script, keys, [*first, *args])
    found = [await _batch(session, queues[number], expires_at, *batch) for number, *batch in claimed]
    return done, None if coming is None else float(coming), [batch for batch in found if batch is not None]


async def _batch(
    session: Session,
    queue: QueueKeys,
    expires_at: float,
    id: bytes,
    group: bytes,
    oldest_at: bytes,
    failure: bytes | None,
    *members: Any,
) -> GroupBatch | None:
    """A claimed batch; None if all its members were quarantined."""
    name = group.decode()
    messages = await _decode(session, queue, f"{queue.group(name)}:{id.decode()}", members)
    if not messages:
        return None
    failed = decode_failure(failure)
    return GroupBatch(queue.name, name, id.decode(), messages, expires_at, failed, float(oldest_at))


def encode_failure(failure: GroupFailure) -> str:
    """The text of failures; scripts/lib_groups/group_failure.lua reads it."""
    numbers = (failure.failed_at, failure.retry_at, failure.oldest_at)
    return f"{failure.failures} {' '.join(map(repr, numbers))}\n{failure.error}"


def decode_failure(text: bytes | None) -> GroupFailure | None:
    """Decode `encode_failure`; None without failures."""
    if text is None:
        return None
    numbers, _, error = text.partition(b"\n")
    failures, failed_at, retry_at, oldest_at = numbers.split()
    return GroupFailure(
        int(failures), error.decode("utf-8", "replace"), float(failed_at), float(retry_at), float(oldest_at)
    )


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


async def _decode(
    session: Session, queue: QueueKeys, batch: str, members: Sequence[Any]
) -> list[TaskMessage]:
    messages = []
    damaged: list[tuple[bytes, bytes | None]] = []
    for id, msg, counters in zip(members[::3], members[1::3], members[2::3], strict=True):
        try:
            messages.append(decode_stored(queue, id, msg, counters))
        except CorruptMessage:
            damaged.append((id, msg))
    await quarantine(session, queue, damaged, batch)
    return messages


async def renew_batches(session: Session, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
    """See Broker.renew_batches."""
    expires_at = math.ceil(session.clock.now() + lease)
    answers = [False] * len(batches)

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        args: list[Arg] = [expires_at, *(queue.batch(batches[at].group, batches[at].id) for at in indexes)]
        reply = await session.run_idempotent(LUA.renew_batches, [queue.batches], args)
        for at, held in zip(indexes, reply.decode(), strict=True):
            answers[at] = held == "1"

    await by_queue([batch.queue for batch in batches], call)
    return answers


async def return_batch(
    session: Session, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
) -> bool:
    """See Broker.return_batch."""
    if archive and failure is not None:
        return await _archive_batch(session, batch, failure)
    queue = queue_keys(batch.queue)
    keys = [queue.batch(batch.group, batch.id), queue.batches, queue.group(batch.group)]
    args: list[Arg] = [queue.prefix, math.floor(session.clock.now()), batch.group]
    args.append("" if failure is None else encode_failure(failure))
    return bool(await session.run_idempotent(LUA.return_batch, keys, args))


async def _archive_batch(session: Session, batch: GroupBatch, failure: GroupFailure) -> bool:
    """Archive the members of a batch, in calls of bounded size."""
    queue = queue_keys(batch.queue)
    now, archived = session.clock.now(), False
    failed = [replace(message, last_error=failure.error, last_failed_at=now) for message in batch.messages]
    for some in chunks(failed, [len(message.payload or b"") for message in failed]):
        keys = [queue.batch(batch.group, batch.id), queue.batches, queue.archived]
        args: list[Arg] = [queue.prefix, math.floor(now), batch.group]
        args += (session.archive_limit, session.archive_cutoff())
        for message in some:
            keys.append(queue.task(message.id))
            args += (message.id, encode_task(message))
        if not await session.run_idempotent(LUA.archive_batch, keys, args):
            return archived
        archived = True
    return archived


async def flush_group(session: Session, name: str, group: str) -> int:
    """See Inspection.flush_group."""
    queue = await session.registry.require(name)
    keys = [queue.group(group), queue.groups, queue.flushed]
    return int(await session.run_idempotent(LUA.flush_group, keys, [group, queue.prefix]))


async def merge_group(session: Session, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
    """See Broker.merge_group."""
    home = queue_keys(batch.queue)
    target = queue_keys(merged.message.queue)
    if session.redis.clustered and home is not target:
        return await _merge_across_slots(session, batch, merged)
    now = session.clock.now()
    keys = [home.batch(batch.group, batch.id), home.batches, target.pending, target.task(merged.message.id)]
    slot = session.call_slots.take(target, now)
    args: list[Arg] = [slot.number, target.prefix, repr(now), session.now_ns(), session.archive_cutoff()]
    args += (merged.message.id, encode_task(merged.message), entry_options(merged, now), home.prefix)
    args.append(batch.group)
    answer = await session.run_remembered(LUA.merge_group, [slot.key, *keys], args, slot)
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
        await delete_batch(session, batch)
    return answer


async def delete_batch(session: Session, batch: GroupBatch) -> bool:
    """See Broker.delete_batch."""
    queue = queue_keys(batch.queue)
    slot = session.call_slots.take(queue, session.clock.now())
    keys = [slot.key, queue.batch(batch.group, batch.id), queue.batches]
    args: list[Arg] = [slot.number, queue.prefix, batch.group]
    return bool(await session.run_remembered(LUA.delete_batch, keys, args, slot) == b"1")
