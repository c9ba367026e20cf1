"""When a group of tasks is ripe to become one (spec: redis wire format, section 3.7), and which rule is whose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from asynqio.core.task.message import TaskMessage

#: Seconds a claimed batch belongs to the server that aggregates it; then it goes back to its group.
BATCH_LEASE = 120.0
#: Most members of one batch; a larger group makes several. Taking or merging so many keeps Redis busy for about
#: two milliseconds.
BATCH_MEMBERS = 500


class GroupRule(msgspec.Struct, frozen=True):
    """When to aggregate.

    `grace`: seconds without a new member. `max_delay`: seconds after the oldest member came, whatever
    else comes. `max_size`: as soon as there are so many (more than BATCH_MEMBERS count as those). 0 switches the
    last two off.
    """

    grace: float = 60.0
    max_delay: float = 0.0
    max_size: int = 0

    @property
    def max_batch(self) -> int:
        """How many members are taken at once at most."""
        return min(self.max_size, BATCH_MEMBERS) if self.max_size else BATCH_MEMBERS

    def rule_for(self, group: str) -> GroupRule | None:
        """One rule is the rule of every group."""
        return self

    def ripe(self, size: int, oldest: float, newest: float, now: float, flushed: float = 0.0) -> int:
        """How many members to take, oldest first; 0 when the group is not ripe. `flushed`: it is ripe as long as
        there are members that came until then."""
        if size == 0:
            return 0
        most = self.max_batch
        if self.max_size and size >= most:
            return most
        if (
            (self.max_delay and oldest <= now - self.max_delay)
            or newest <= now - self.grace
            or (flushed and oldest <= flushed)
        ):
            return min(size, most)
        return 0

    def ripe_at(self, oldest: float, newest: float) -> float:
        """When a group that is not ripe now will be, if nobody joins it."""
        by_grace = newest + self.grace
        return min(by_grace, oldest + self.max_delay) if self.max_delay else by_grace


class GroupPolicy(Protocol):
    """Which groups are aggregated, and when."""

    def rule_for(self, group: str) -> GroupRule | None:
        """The rule of this group; None: it is left alone."""
        ...


class GroupRules(msgspec.Struct, frozen=True):
    """A rule for each pattern: a group's own name, else the longest that its name begins with."""

    rules: Mapping[str, GroupRule]

    def rule_for(self, group: str) -> GroupRule | None:
        pattern = match(self.rules, group)
        return None if pattern is None else self.rules[pattern]


class GroupBatch(msgspec.Struct, frozen=True):
    """Members of one group, claimed for aggregation until `expires_at`."""

    queue: str
    group: str
    id: str
    messages: Sequence[TaskMessage]
    expires_at: float


def match(patterns: Collection[str], name: str) -> str | None:
    """The pattern that is the name, else the longest that it begins with, as a mux does it. None: there is none."""
    if name in patterns:
        return name
    return max((pattern for pattern in patterns if name.startswith(pattern)), key=len, default=None)
