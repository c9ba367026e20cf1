"""Stored bytes that are no task, and ids without one: put out of the way, counted, visible (P8)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from asynqio.brokers.contract.results import CORRUPT_TYPE
from asynqio.brokers.redis.layout.keys import QueueKeys
from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.brokers.redis.layout.packing import maybe
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session, Word
from asynqio.core.task.message import TaskMessage
from asynqio.errors import CorruptMessage

log = logging.getLogger("asynqio.redis")

#: Of the active tasks so many, the oldest, are looked at when those without a lease are searched.
OLDEST = 1_000
#: A lease that lapsed so many seconds ago is taken for lapsed by Go too.
GO_GRACE = 30


def corrupt(queue: str, id: str, found: bytes | None) -> TaskMessage:
    """What is shown of a task whose bytes cannot be read, or that is nothing but an id."""
    said = (
        "there is no task behind this id"
        if found is None
        else "the stored bytes are not a task; they are kept as its payload"
    )
    return TaskMessage(id, CORRUPT_TYPE, queue, found, last_error=said)


def read(queue: QueueKeys, id: bytes, stored: bytes, strikes: bytes | None = None) -> TaskMessage:
    """The task of this id in this queue. Raises CorruptMessage, also if the bytes are those of another one: what is
    decided about that would never find this one."""
    message = decode_task(stored, strikes)
    if message.id.encode() != id or message.queue != queue.name:
        raise CorruptMessage(f"the stored bytes are task {message.id!r} of queue {message.queue!r}")
    return message


def shown(id: bytes) -> str:
    """An id as people see it. Whatever somebody wrote there, looking must go on."""
    return id.decode("utf-8", "replace")


async def quarantine(
    session: Session, queue: QueueKeys, found: Iterable[tuple[bytes, bytes | None]], batch: str = ""
) -> None:
    """Archive those of the tasks (id, stored bytes) that cannot be read, and drop ids without a task."""
    for id, stored in found:
        if stored is not None:
            try:
                read(queue, id, stored)
            except CorruptMessage as problem:
                log.error("task %r of queue %r goes to quarantine: %s", shown(id), queue.name, problem)
            else:
                continue
        else:
            log.error(
                "queue %r lists the id %r, but there is no such task: it is dropped", queue.name, shown(id)
            )
        keys: list[Any] = [queue.active, queue.lease, queue.archived, queue.counts]
        keys.append(queue.task_prefix.encode() + id)
        if batch:
            keys.append(batch)
        instead = encode_task(corrupt(queue.name, shown(id), stored))
        await session.repeat(LUA.quarantine, keys, [id, int(session.clock.now()), maybe(stored), instead])


class Repair:
    """Active tasks without a lease, which nobody would recover (B8). Seen twice, they get one that has lapsed."""

    #: Seconds between two looks.
    EVERY = 10.0

    def __init__(self) -> None:
        self._seen: dict[str, list[bytes]] = {}
        self._next = 0.0

    async def look(self, session: Session, queues: list[QueueKeys]) -> None:
        for queue in queues:
            seen = self._seen.get(queue.name, [])
            lapsed = int(session.clock.now()) - GO_GRACE - 1
            args: list[Word] = [lapsed, OLDEST, queue.task_prefix, *seen]
            found = await session.repeat(LUA.repair, [queue.active, queue.lease], args)
            self._seen[queue.name] = found

    def due(self, session: Session) -> bool:
        """Whether it is time for another look."""
        now = session.clock.monotonic()
        if now < self._next:
            return False
        self._next = now + self.EVERY
        return True
