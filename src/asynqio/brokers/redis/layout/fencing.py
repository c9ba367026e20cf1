"""Lease tokens: they ensure that a worker that lost a task cannot change it again.

A token has two parts. Our dequeue stores the first, which names the server, beside the task. The second, the fence,
is the part of the stored message that every recovery rewrites, Go's included.
"""

from __future__ import annotations

from typing import NamedTuple

from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskMessage

#: What scripts return for a lease that is still held.
HELD = ord("1")


class Token(NamedTuple):
    """The token of a lease."""

    owner: bytes
    fence: bytes


def fence_of(message: TaskMessage, stored: bytes) -> bytes:
    """The end of the stored bytes: everything behind the payload, and a few bytes of it."""
    return stored[len(message.payload or b"") :]


def lease_of(
    message: TaskMessage, stored: bytes, owner: bytes, expires_at: float, pending_since: float = 0.0
) -> Lease:
    """The lease of a task that was read as `stored`."""
    return Lease(message, expires_at, Token(owner, fence_of(message, stored)), pending_since)


def owner_of(token: bytes) -> str:
    """The server that holds the lease."""
    return token.rpartition(b"/")[0].decode("utf-8", "replace")


def leased_at(token: bytes) -> int:
    """When the lease began, in whole seconds; 0 if the token does not contain it."""
    time = token.rpartition(b"@")[2]
    return int(time) if time.isdigit() else 0


def is_ours(token: bytes | None, last_failed_at: float) -> bool:
    """Whether one of our servers holds this lease.

    Go does not know tokens and never deletes them. But Go can take over our task only through its recoverer, which
    records a failure: then the task failed after it was leased to us.
    """
    if not token:
        return False
    time = leased_at(token)
    return not (time and last_failed_at > time)


def token_of(lease: Lease) -> Token:
    """The token of a lease, which may have been in another process; for a lease of another broker, one that holds
    nothing."""
    token = lease.token
    if type(token) is Token:
        return token
    if type(token) is tuple and len(token) == 2 and type(token[0]) is type(token[1]) is bytes:
        return Token(*token)
    return Token(b"?", b"?")
