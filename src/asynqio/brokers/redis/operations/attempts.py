"""Attempt records of tasks, stored in fields of the task's hash, so that whatever deletes the task deletes them.

`asynqio:runs` counts the recorded attempts, `asynqio:run:<n>` is the record of the n-th, and `asynqio:live` is the
record of the current attempt. Records are MessagePack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asynqio.brokers.redis.chunking import by_queue
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.layout.fencing import is_ours, leased_at, owner_of
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.layout.messages import decode_task
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord, decode_record, running_record
from asynqio.core.task.message import TaskRef
from asynqio.errors import CorruptMessage


async def attempts(session: Session, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
    """See Broker.attempts."""
    answers: list[list[AttemptRecord]] = [[] for _ in refs]

    async def call(name: str, indexes: Sequence[int]) -> None:
        queue = queue_keys(name)
        now = math.floor(session.clock.now())
        header: list[Arg] = [RUNS_KEPT, queue.prefix, now, session.archive_cutoff()]
        while indexes:
            ids = [refs[at].id for at in indexes]
            rows = await session.run(LUA.read_attempts, [queue.task(id) for id in ids], [*header, *ids])
            for at, row in zip(indexes, rows, strict=False):
                if row is not None:
                    answers[at] = _decode(row)
            indexes = indexes[len(rows) :]

    await by_queue([ref.queue for ref in refs], call)
    return answers


def _decode(row: Sequence[Any]) -> list[AttemptRecord]:
    state, token, msg, live, last, *records = row
    found = [decode_record(record, last - back) for back, record in enumerate(records) if record is not None]
    found.reverse()
    if state == b"active" and _is_ours(token, msg):
        current = decode_record(live) if live is not None else None
        if current is not None and current.started_at < leased_at(token):
            current = None  # written by an earlier holder, before Go took the task over
        found.append(running_record(current, owner_of(token), last + 1))
    return found


def _is_ours(token: bytes | None, msg: bytes | None) -> bool:
    try:
        return msg is not None and is_ours(token, decode_task(msg).last_failed_at)
    except CorruptMessage:
        return False
