"""In which order a server looks at its queues (spec: redis wire format, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from random import Random


class QueueOrder:
    """Weighted (the default) or strict.

    Strict: always from the highest weight to the lowest; equal weights by name. Weighted: every queue's
    name stands as often as its weight in a list that is shuffled anew each time; first occurrences count.
    So a queue of weight 6 is looked at before one of weight 1 six times out of seven, and nothing starves.
    """

    def __init__(self, weights: Mapping[str, int], *, strict: bool = False) -> None:
        ranked = sorted(weights, key=lambda name: (-weights[name], name))
        self.names: tuple[str, ...] = tuple(ranked)
        self._fixed = strict or len(ranked) == 1
        divisor = gcd(*weights.values()) or 1
        self._tickets = [name for name in ranked for _ in range(weights[name] // divisor)]

    def next(self, random: Random) -> Sequence[str]:
        """The order for one look."""
        if self._fixed:
            return self.names
        return tuple(dict.fromkeys(random.sample(self._tickets, len(self._tickets))))
