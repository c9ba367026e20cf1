"""How long to wait before the next try."""

from __future__ import annotations

import random

#: Seconds. The first is short, because most servers that vanish are back at once; the last is what an idle
#: process spends on a server that stays away: one connection attempt a second.
FIRST, LONGEST = 0.05, 1.0


class Backoff:
    """Pauses that double, each with jitter so that a thousand clients do not come back in the same moment."""

    def __init__(self) -> None:
        self._next = FIRST

    def reset(self) -> None:
        """It went well: begin again with a short pause."""
        self._next = FIRST

    def pause(self, *, longest: bool = False) -> float:
        """Seconds to wait now; `longest` when hurrying cannot help."""
        seconds = LONGEST if longest else self._next
        self._next = min(2 * self._next, LONGEST)
        return seconds * random.uniform(0.5, 1.0)
