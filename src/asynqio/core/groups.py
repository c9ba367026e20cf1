"""When a group of tasks is ripe to become one (spec: redis wire format, section 3.7)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from asynqio.core.message import TaskMessage

#: Seconds a claimed batch belongs to the server that aggregates it; then it goes back to its group.
BATCH_LEASE = 120.0


class GroupRule(msgspec.Struct, frozen=True):
    """When to aggregate.

    `grace`: seconds without a new member. `max_delay`: seconds after the oldest member came, whatever
    else comes. `max_size`: as soon as there are so many. 0 switches the last two off.
    """

    grace: float = 60.0
    max_delay: float = 0.0
    max_size: int = 0

    def ripe(self, size: int, oldest: float, newest: float, now: float) -> int:
        """How many members to take, oldest first; 0 when the group is not ripe."""
        if size == 0:
            return 0
        if self.max_size and size >= self.max_size:
            return self.max_size
        if (self.max_delay and oldest <= now - self.max_delay) or newest <= now - self.grace:
            return min(size, self.max_size) if self.max_size else size
        return 0

    def ripe_at(self, oldest: float, newest: float) -> float:
        """When a group that is not ripe now will be, if nobody joins it."""
        by_grace = newest + self.grace
        return min(by_grace, oldest + self.max_delay) if self.max_delay else by_grace


class GroupBatch(msgspec.Struct, frozen=True):
    """Members of one group, claimed for aggregation until `expires_at`."""

    queue: str
    group: str
    id: str
    messages: Sequence[TaskMessage]
    expires_at: float
