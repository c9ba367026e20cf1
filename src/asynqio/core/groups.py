"""Aggregation rules: when a group of tasks is ripe, and which rule applies to a group."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from asynqio.core.task.message import TaskMessage

#: Seconds for which a server owns a claimed batch; then its members return to the group.
BATCH_LEASE = 120.0
#: Seconds until a failed group is tried again: doubled with each failure in a row, up to the cap.
FIRST_DELAY, DELAY_CAP = 1.0, 300.0
#: Failures of a group in a row after which its batch is archived, unless a server is configured otherwise.
MAX_FAILURES = 10
#: The error of a batch whose claim expired.
CLAIM_EXPIRED = "the server that aggregated the group died, or could not reach the store"
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

    @property
    def rules(self) -> Mapping[str, GroupRule]:
        """The rule by its pattern: a single rule applies to every group."""
        return {"": self}

    @property
    def exact(self) -> bool:
        """A single rule names no group."""
        return False

    def rule_for(self, group: str) -> GroupRule | None:
        """A single rule applies to every group."""
        return self

    def ripe(
        self, size: int, oldest: float, newest: float, now: float, flushed: float = 0.0, retry_at: float = 0.0
    ) -> int:
        """The number of members to claim, oldest first; 0 if the group is not ripe.

        Times are epoch seconds. A flushed group is ripe while it has members that joined no later than `flushed`.
        A group that failed is not ripe before `retry_at`, unless it is flushed.
        """
        if size == 0:
            return 0
        limit = self.max_batch
        if flushed and oldest <= flushed:
            return min(size, limit)
        if now < retry_at:
            return 0
        if self.max_size and size >= limit:
            return limit
        if (self.max_delay and oldest <= now - self.max_delay) or newest <= now - self.grace:
            return min(size, limit)
        return 0

    def ripe_at(self, size: int, oldest: float, newest: float, retry_at: float = 0.0) -> float:
        """When a group becomes ripe if no member joins, in epoch seconds."""
        at = newest + self.grace
        if self.max_delay:
            at = min(at, oldest + self.max_delay)
        if self.max_size and size >= self.max_batch:
            at = min(at, newest)
        return max(at, retry_at)


class GroupPolicy(Protocol):
    """Selects the rule of a group."""

    @property
    def rules(self) -> Mapping[str, GroupRule]:
        """The rules by pattern."""
        ...

    @property
    def exact(self) -> bool:
        """Whether each pattern is the name of one group, so that brokers look at these groups only."""
        ...

    def rule_for(self, group: str) -> GroupRule | None:
        """The rule of this group; None if the group is not aggregated."""
        ...


class GroupRules(msgspec.Struct, frozen=True):
    """One rule per pattern. A pattern is the name of a group or a prefix of it; the longest match applies.

    With `exact`, a pattern is the name of a group and matches no other one. A claim then costs the same per named
    group, whatever the number of groups in the queue and of policies in use.
    """

    rules: Mapping[str, GroupRule]
    exact: bool = False

    def rule_for(self, group: str) -> GroupRule | None:
        if self.exact:
            return self.rules.get(group)
        pattern = match(self.rules, group)
        return None if pattern is None else self.rules[pattern]


class GroupFailure(msgspec.Struct, frozen=True):
    """The failed aggregations of a group in a row. Times are epoch seconds."""

    failures: int
    #: The error of the last one.
    error: str
    failed_at: float
    #: When the group is tried again.
    retry_at: float
    #: When the oldest member of the failed batch joined.
    oldest_at: float = 0.0


def failed_again(before: GroupFailure | None, error: str, now: float, oldest_at: float) -> GroupFailure:
    """The failures of a group after one more."""
    failures = before.failures + 1 if before is not None else 1
    delay = min(math.ldexp(FIRST_DELAY, min(failures - 1, 16)), DELAY_CAP)
    return GroupFailure(failures, error, now, now + delay, oldest_at)


def claim_expired(before: GroupFailure | None, now: float, oldest_at: float) -> GroupFailure:
    """The failures of a group after a claim of it expired. The batches of one dead server count once."""
    if before is not None and now - before.failed_at < BATCH_LEASE / 2:
        return before
    return failed_again(before, CLAIM_EXPIRED, now, oldest_at)


def policy_id(policy: GroupPolicy) -> str:
    """A short name of a policy: equal for equal rules."""
    rules = [(pattern, msgspec.structs.astuple(rule)) for pattern, rule in sorted(policy.rules.items())]
    return hashlib.sha1(msgspec.json.encode(rules), usedforsecurity=False).hexdigest()[:16]


class GroupBatch(msgspec.Struct, frozen=True):
    """Members of one group, claimed for aggregation until `expires_at` (epoch seconds)."""

    queue: str
    group: str
    id: str
    messages: Sequence[TaskMessage]
    expires_at: float
    #: The failures of the group before this claim.
    failure: GroupFailure | None = None
    #: When the oldest member joined.
    oldest_at: float = 0.0


def match(patterns: Collection[str], name: str) -> str | None:
    """The pattern that equals the name, else the longest prefix of it, as in a mux; None without a match."""
    if name in patterns:
        return name
    return max((pattern for pattern in patterns if name.startswith(pattern)), key=len, default=None)
