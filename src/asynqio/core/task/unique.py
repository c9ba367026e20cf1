"""The key of a uniqueness lock, as Go computes it (spec: redis wire format, section 5.1), and its modes."""

from __future__ import annotations

import enum
from hashlib import md5

import msgspec


class UniqueUntil(enum.StrEnum):
    """What frees a uniqueness lock before its time is over."""

    #: A worker takes the task: the next one may wait behind the one that runs.
    STARTED = "started"
    #: The task is done or deleted; not its archiving. Go's rule.
    FINISHED = "finished"
    #: The task is done, deleted or archived (B6).
    ENDED = "ended"
    #: Nothing: it is held for its whole time, whatever becomes of the task (throttle).
    EXPIRED = "expired"


class OnDuplicate(enum.StrEnum):
    """What becomes of an entry whose lock is held by a task that waits."""

    REJECT = "reject"
    #: The waiting task becomes what the entry is; it keeps its id.
    REPLACE = "replace"
    #: The waiting task is due when the entry would be, and else stays as it is.
    RESCHEDULE = "reschedule"


def unique_key(queue: str, type: str, payload: bytes | None) -> str:
    """The lock that tasks of this queue, type and payload share.

    No payload (None) and an empty one are different tasks, as nil and empty are in Go. Tasks that are unique by a
    text of their own have it in the payload's place.
    """
    digest = "" if payload is None else md5(payload, usedforsecurity=False).hexdigest()
    return f"asynq:{{{queue}}}:unique:{type}:{digest}"


class LockHolder(msgspec.Struct, frozen=True):
    """Who holds a uniqueness lock, and until when (seconds since the epoch)."""

    id: str
    until: float
