"""What fences a lease (P2).

It has two halves. The first was written beside the task by our own dequeue and names the server; the second, the
fence, is the part of the stored message that any recovery rewrites, Go's too. Who lost a task can never change
it again.
"""

from __future__ import annotations

from typing import NamedTuple

from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskMessage

#: How scripts say yes for one item.
KEPT = ord("1")


class Token(NamedTuple):
    """The token of a lease."""

    owner: bytes
    fence: bytes
    #: It was to be settled, and nobody can tell whether it was: the next try says so.
    doubtful: bool = False


def fence(message: TaskMessage, stored: bytes) -> bytes:
    """The end of the stored bytes: what is behind the payload, and a little of it."""
    return stored[len(message.payload or b"") :]


def lease_of(
    message: TaskMessage, stored: bytes, owner: bytes, expires_at: float, pending_since: float = 0.0
) -> Lease:
    return Lease(message, expires_at, Token(owner, fence(message, stored)), pending_since)


def owner_of(token: bytes) -> str:
    """The server that a lease of ours was given to."""
    return token.rpartition(b"/")[0].decode("utf-8", "replace")


def leased_at(token: bytes) -> int:
    """When, in whole seconds; 0 if it does not say."""
    when = token.rpartition(b"@")[2]
    return int(when) if when.isdigit() else 0


def is_ours(token: bytes | None, last_failed_at: float) -> bool:
    """Whether one of our servers holds this lease.

    Go knows nothing of tokens and leaves them where they are. But it comes by a task of ours only through
    its recoverer, which notes the failure: then the task failed after it was leased to us.
    """
    if not token:
        return False
    when = leased_at(token)
    return not (when and last_failed_at > when)


def token_of(lease: Lease) -> Token:
    """The token of a lease; one that no Redis broker gave holds nothing."""
    return lease.token if isinstance(lease.token, Token) else Token(b"?", b"?")
