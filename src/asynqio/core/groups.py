"""Aggregation rules: when a group of tasks is ripe, and which rule applies to a group."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from asynqio.core.task.message import TaskMessage

#: Seconds for which a server owns a claimed batch; then its members return to the group.
BATCH_LEASE = 120.0
#: Most members of one batch; a larger group becomes several. Claiming or merging 500 members occupies Redis for about
#: 2 ms.
BATCH_MEMBERS = 500


class GroupRule(msgspec.Struct, frozen=True):
    """When a group is ripe.

    `grace`: seconds since the newest member joined. `max_delay`: seconds since the oldest member joined.
    `max_size`: number of members, at most BATCH_MEMBERS. 0 disables `max_delay` and `max_size`.
    """

    grace: float = 60.0
    max_delay: float = 0.0
    max_size: int = 0

    @property
    def max_batch(self) -> int:
        """Most members of one batch."""
        return min(self.max_size, BATCH_MEMBERS) if self.max_size else BATCH_MEMBERS

    def rule_for(self, group: str) -> GroupRule | None:
        """A single rule applies to every group."""
        return self

    def ripe(self, size: int, oldest: float, newest: float, now: float, flushed: float = 0.0) -> int:
        """The number of members to claim, oldest first; 0 if the group is not ripe.

        Times are epoch seconds. A flushed group is ripe while it has members that joined no later than `flushed`.
        """
        if size == 0:
            return 0
        limit = self.max_batch
        if self.max_size and size >= limit:
            return limit
        if (
            (self.max_delay and oldest <= now - self.max_delay)
            or newest <= now - self.grace
            or (flushed and oldest <= flushed)
        ):
            return min(size, limit)
        return 0

    def ripe_at(self, oldest: float, newest: float) -> float:
        """When a group becomes ripe if no member joins, in epoch seconds."""
        by_grace = newest + self.grace
        return min(by_grace, oldest + self.max_delay) if self.max_delay else by_grace


class GroupPolicy(Protocol):
    """Selects the rule of a group."""

    def rule_for(self, group: str) -> GroupRule | None:
        """The rule of this group; None if the group is not aggregated."""
        ...


class GroupRules(msgspec.Struct, frozen=True):
    """One rule per pattern. A pattern is the name of a group or a prefix of it; the longest match applies."""

    rules: Mapping[str, GroupRule]

    def rule_for(self, group: str) -> GroupRule | None:
        pattern = match(self.rules, group)
        return None if pattern is None else self.rules[pattern]


class GroupBatch(msgspec.Struct, frozen=True):
    """Members of one group, claimed for aggregation until `expires_at` (epoch seconds)."""

    queue: str
    group: str
    id: str
    messages: Sequence[TaskMessage]
    expires_at: float


def match(patterns: Collection[str], name: str) -> str | None:
    """The pattern that equals the name, else the longest prefix of it, as in a mux; None without a match."""
    if name in patterns:
        return name
    return max((pattern for pattern in patterns if name.startswith(pattern)), key=len, default=None)
