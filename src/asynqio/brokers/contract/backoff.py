"""Delays between reconnect attempts."""

from __future__ import annotations

import random

#: Seconds. The first is short because most servers are back at once. The longest is what an idle process spends on a
#: server that stays down: one attempt per second.
FIRST, LONGEST = 0.05, 1.0


class Backoff:
    """Exponential delays with jitter, so that many clients do not reconnect at the same moment."""

    def __init__(self) -> None:
        self._next = FIRST

    def reset(self) -> None:
        """Start again with the shortest delay."""
        self._next = FIRST

    def pause(self, *, longest: bool = False) -> float:
        """Seconds to wait now; `longest`: use the longest delay, because the error is permanent."""
        seconds = LONGEST if longest else self._next
        self._next = min(2 * self._next, LONGEST)
        return seconds * random.uniform(0.5, 1.0)
