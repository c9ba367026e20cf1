"""The queues of a tenant: a prefix that the tenant neither sees nor can leave."""

from __future__ import annotations

import string

import msgspec

#: Most characters of a prefix.
MAX_PREFIX = 64
_ALLOWED = frozenset(string.ascii_letters + string.digits + "._-")


def prefix_problem(prefix: str) -> str:
    """Why this is no valid prefix of a tenant; empty if it is one."""
    if not prefix:
        return "must not be empty"
    if len(prefix) > MAX_PREFIX:
        return f"has {len(prefix)} characters, at most {MAX_PREFIX} are allowed"
    if not _ALLOWED.issuperset(prefix):
        return "must consist of letters (a-z, A-Z), digits, dots, hyphens and underscores"
    return ""


class Scope(msgspec.Struct, frozen=True):
    """The part of a store that belongs to a tenant: the queues `<prefix>:<name>`. Without a prefix: all queues, by
    the names that they have.

    A prefix contains no ":", so each stored name belongs to one prefix at most. Raises ValueError.
    """

    prefix: str = ""

    def __post_init__(self) -> None:
        if self.prefix and (problem := prefix_problem(self.prefix)):
            raise ValueError(f"queue prefix {self.prefix!r} {problem}")

    def stored(self, queue: str) -> str:
        """The name in the store of a queue of this scope."""
        return f"{self.prefix}:{queue}" if self.prefix else queue

    def owns(self, stored: str) -> bool:
        """Whether a queue of the store belongs to this scope."""
        return not self.prefix or stored.startswith(f"{self.prefix}:")

    def shown(self, stored: str) -> str:
        """The name by which the tenant knows a queue of the store that it owns. Raises ValueError for any other."""
        if not self.owns(stored):
            raise ValueError("the queue belongs to another tenant")
        return stored[len(self.prefix) + 1 :] if self.prefix else stored
