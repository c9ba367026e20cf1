"""Tasks in: entries as one script call per queue and chunk."""

from __future__ import annotations

import math
from collections.abc import Coroutine, Sequence
from typing import Any

from asynqio.brokers.base import Admission
from asynqio.brokers.redis.codec import encode_strikes, encode_task
from asynqio.brokers.redis.engine import Engine, Word, chunks, together
from asynqio.brokers.redis.keys import QueueKeys
from asynqio.brokers.redis.pack import pack
from asynqio.brokers.redis.scripts import LUA
from asynqio.core.message import TaskState
from asynqio.core.task import Entry

#: How scripts answer for one entry.
ANSWERS = {"1": Admission.ACCEPTED, "0": Admission.ID_CONFLICT, "2": Admission.DUPLICATE}
_ANSWERS = {ord(char): answer for char, answer in ANSWERS.items()}


async def enqueue(engine: Engine, entries: Sequence[Entry]) -> list[Admission]:
    """One answer per entry, in their order."""
    if not entries:
        return []
    first = entries[0].message.queue
    by_queue: dict[str, list[int]] = {}
    if all(entry.message.queue == first for entry in entries):
        by_queue[first] = list(range(len(entries)))
    else:
        for at, entry in enumerate(entries):
            by_queue.setdefault(entry.message.queue, []).append(at)
    messages = [encode_task(entry.message) for entry in entries]
    calls: list[Coroutine[Any, Any, bytes]] = []
    places: list[int] = []
    for name, all_of_it in by_queue.items():
        for some in chunks(all_of_it, [len(messages[at]) for at in all_of_it]):
            places += some
            calls.append(_enqueue(engine, engine.keys(name), entries, messages, some))
    await engine.listed(by_queue)
    replies = await together(calls)
    answers = [Admission.ACCEPTED] * len(entries)
    for at, char in zip(places, (char for reply in replies for char in reply), strict=True):
        answers[at] = _ANSWERS[char]
    return answers


async def _enqueue(
    engine: Engine,
    queue: QueueKeys,
    entries: Sequence[Entry],
    messages: Sequence[bytes],
    places: Sequence[int],
) -> bytes:
    now = engine.clock.now()
    keys = [queue.pending]
    args: list[Word] = [queue.prefix, repr(now), engine.nanoseconds()]
    prefix = queue.task_prefix
    for at in places:
        entry = entries[at]
        id = entry.message.id
        keys.append(prefix + id)
        args.append(id)
        args.append(messages[at])
        args.append(spec(entry, now))
    reply = await engine.certain(LUA.enqueue, keys, args)
    assert isinstance(reply, bytes)
    return reply


def spec(entry: Entry, now: float) -> bytes:
    """What scripts/lib_admit.lua is told of an entry beside id and message; nothing for an ordinary one."""
    message = entry.message
    if (
        entry.state is TaskState.PENDING
        and not entry.unique_ttl
        and not message.group
        and not message.crashes
        and not message.deferrals
    ):
        return b""
    score = math.ceil(entry.process_at if entry.state is TaskState.SCHEDULED else now)
    unique = entry.unique_ttl > 0
    return pack(
        entry.state.value,
        str(score),
        message.group,
        message.unique_key if unique else "",
        str(math.ceil(entry.unique_ttl)),
        repr(now + entry.unique_ttl),
        encode_strikes(message),
    )
