"""The key of a uniqueness lock, as Go computes it (spec: redis wire format, section 5.1)."""

from __future__ import annotations

from hashlib import md5

import msgspec


def unique_key(queue: str, type: str, payload: bytes | None) -> str:
    """The lock that tasks of this queue, type and payload share.

    No payload (None) and an empty one are different tasks, as nil and empty are in Go.
    """
    digest = "" if payload is None else md5(payload, usedforsecurity=False).hexdigest()
    return f"asynq:{{{queue}}}:unique:{type}:{digest}"


class LockHolder(msgspec.Struct, frozen=True):
    """Who holds a uniqueness lock, and until when (seconds since the epoch)."""

    id: str
    until: float
