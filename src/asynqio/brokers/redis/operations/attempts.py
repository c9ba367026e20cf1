"""What is kept of the attempts at a task, in fields of its own hash: whatever deletes the task, Go too, deletes it.

`asynqio:runs` counts the attempts that were recorded, `asynqio:run:<n>` is the record of the n-th, and `asynqio:live`
what the one that goes on has left of itself. All records are MessagePack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asynqio.brokers.redis.layout.fencing import is_ours, leased_at, owner_of
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.scripts.batches import by_queue
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord, decode_record, under_way
from asynqio.core.task.message import TaskRef
from asynqio.errors import CorruptMessage


async def attempts(session: Session, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
    answers: list[list[AttemptRecord]] = [[] for _ in refs]

    async def call(name: str, places: Sequence[int]) -> None:
        queue = queue_keys(name)
        keys = [queue.task(refs[at].id) for at in places]
        for at, row in zip(places, await session.run(LUA.attempts, keys, [RUNS_KEPT]), strict=True):
            if row is not None:
                answers[at] = _read(row)

    await by_queue([ref.queue for ref in refs], call)
    return answers


def _read(row: Sequence[Any]) -> list[AttemptRecord]:
    state, token, msg, live, last, *records = row
    found = [decode_record(record, last - back) for back, record in enumerate(records) if record is not None]
    found.reverse()
    if state == b"active" and _ours(token, msg):
        known = decode_record(live) if live is not None else None
        if known is not None and known.started_at < leased_at(token):
            known = None  # left by an earlier holder, from whom Go took the task over
        found.append(under_way(known, owner_of(token), last + 1))
    return found


def _ours(token: bytes | None, msg: bytes | None) -> bool:
    try:
        return msg is not None and is_ours(token, decode_task(msg).last_failed_at)
    except CorruptMessage:
        return False
