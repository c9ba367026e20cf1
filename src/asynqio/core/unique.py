"""The key of a uniqueness lock, as Go computes it (spec: redis wire format, section 5.1)."""

from __future__ import annotations

from hashlib import md5

import msgspec

from asynqio.core.message import TaskMessage


def unique_key(queue: str, type: str, payload: bytes | None) -> str:
    """The lock that tasks of this queue, type and payload share.

    No payload (None) and an empty one are different tasks, as nil and empty are in Go.
    """
    digest = "" if payload is None else md5(payload, usedforsecurity=False).hexdigest()
    return f"asynq:{{{queue}}}:unique:{type}:{digest}"


def in_queue(message: TaskMessage, queue: str) -> TaskMessage:
    """The same task as it is stored in another queue: the keys of locks begin with the name of the queue."""
    key, start = message.unique_key, f"asynq:{{{message.queue}}}:"
    if key.startswith(start):
        key = f"asynq:{{{queue}}}:{key.removeprefix(start)}"
    return msgspec.structs.replace(message, queue=queue, unique_key=key)
