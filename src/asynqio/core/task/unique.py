"""The key of a uniqueness lock, as Go computes it, and the modes of locks."""

from __future__ import annotations

import enum
from hashlib import md5

import msgspec


class UniqueUntil(enum.StrEnum):
    """What frees a uniqueness lock before it expires."""

    #: The start of the task: the next one can wait while this one runs.
    STARTED = "started"
    #: Completion or deletion, but not archiving. Go's rule.
    FINISHED = "finished"
    #: Completion, deletion or archiving (B6).
    ENDED = "ended"
    #: Nothing: the lock is held for its whole duration (a throttle).
    EXPIRED = "expired"


class OnDuplicate(enum.StrEnum):
    """What to do with an entry whose lock is held by a waiting task."""

    #: Refuse the entry: DuplicateTask.
    REJECT = "reject"
    #: Replace the waiting task by the entry; it keeps its id.
    REPLACE = "replace"
    #: Change only the due time of the waiting task, to that of the entry.
    RESCHEDULE = "reschedule"


def unique_key(queue: str, type: str, payload: bytes | None) -> str:
    """The key of the lock of this queue, type and payload.

    No payload (None) and an empty one have different keys, like nil and empty in Go. With `unique_key`, that text
    takes the place of the payload.
    """
    digest = "" if payload is None else md5(payload, usedforsecurity=False).hexdigest()
    return f"asynq:{{{queue}}}:unique:{type}:{digest}"


class LockHolder(msgspec.Struct, frozen=True):
    """The id of the task that holds a uniqueness lock, and until when (seconds since the epoch)."""

    id: str
    until: float
