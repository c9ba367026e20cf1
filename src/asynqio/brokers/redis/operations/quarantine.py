"""Quarantine: archive stored bytes that are not a task, delete ids without a task, count both."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from asynqio.brokers.contract.results import CORRUPT_TYPE
from asynqio.brokers.redis.layout.keys import QueueKeys, decode_lossy
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.layout.packing import optional
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskMessage
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")


def corrupt(queue: str, id: str, stored: bytes | None) -> TaskMessage:
    """The message that is shown for an unreadable task; `stored` is None for an id without a task."""
    error = (
        "there is no task with this id"
        if stored is None
        else "the stored bytes are not a task; they are kept as its payload"
    )
    return TaskMessage(id, CORRUPT_TYPE, queue, stored, last_error=error)


def decode_stored(queue: QueueKeys, id: bytes, stored: bytes, counters: bytes | None = None) -> TaskMessage:
    """The task with this id in this queue.

    Raises CorruptMessage, also if the bytes are a message of another task: its settlement would never find this one.
    """
    message = decode_task(stored, counters)
    if message.id.encode() != id or message.queue != queue.name:
        raise CorruptMessage(f"the stored bytes are task {message.id!r} of queue {message.queue!r}")
    return message


async def quarantine(
    session: Session, queue: QueueKeys, found: Iterable[tuple[bytes, bytes | None]], batch: str = ""
) -> None:
    """Archive those of the tasks (id, stored bytes) that are unreadable, and delete ids without a task."""
    for id, stored in found:
        fields = {"task_id": decode_lossy(id), "queue": queue.name}
        if stored is not None:
            try:
                decode_stored(queue, id, stored)
            except CorruptMessage as error:
                log.error(
                    "task %r of queue %r is quarantined: %s",
                    decode_lossy(id),
                    queue.name,
                    error,
                    extra={"event": "task_quarantined", **fields, "error": str(error)},
                )
            else:
                continue
        else:
            log.error(
                "queue %r contains the id %r, but the task does not exist: the id is deleted",
                queue.name,
                decode_lossy(id),
                extra={"event": "task_id_deleted", **fields},
            )
        keys: list[Any] = [queue.active, queue.lease, queue.archived, queue.counts]
        keys.append(queue.task_prefix.encode() + id)
        if batch:
            keys.append(batch)
        replacement = encode_task(corrupt(queue.name, decode_lossy(id), stored))
        args: list[Any] = [id, int(session.clock.now()), optional(stored), replacement]
        await session.run_idempotent(LUA.quarantine, keys, args)
