"""The order in which a server polls its queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from random import Random


class QueueOrder:
    """Weighted (the default) or strict.

    Strict: always from the highest weight to the lowest, equal weights by name. Weighted: a list that contains each
    queue as often as its weight is shuffled for each poll, and the first occurrences count. A queue of weight 6 is
    polled before one of weight 1 six times out of seven, and no queue starves.
    """

    def __init__(self, weights: Mapping[str, int], *, strict: bool = False) -> None:
        ranked = sorted(weights, key=lambda name: (-weights[name], name))
        self.names: tuple[str, ...] = tuple(ranked)
        self._fixed = strict or len(ranked) == 1
        divisor = gcd(*weights.values()) or 1
        self._tickets = [name for name in ranked for _ in range(weights[name] // divisor)]

    def next(self, random: Random) -> Sequence[str]:
        """The order for the next poll."""
        if self._fixed:
            return self.names
        return tuple(dict.fromkeys(random.sample(self._tickets, len(self._tickets))))
