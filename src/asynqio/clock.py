"""Time, handed in. Nothing else in the project reads a clock by itself."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Brokers take one at construction; everything above asks its broker."""

    def now(self) -> float:
        """Seconds since the epoch. Shared with other machines; may jump when somebody sets the clock."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point. Never jumps; means nothing outside this process."""
        ...


class SystemClock:
    """The machine's own clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __repr__(self) -> str:
        return "SystemClock()"


class ClockStep:
    """Notices when the wall clock jumps (NTP, a suspended machine), so that leases are not judged by it.

    `jumped()` compares how far the wall clock and the monotonic clock went since the last call.
    """

    #: Seconds of disagreement that count as a jump. Slewing stays far below; a lease is never shorter.
    TOLERANCE = 1.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._steady = clock.now(), clock.monotonic()

    def jumped(self) -> bool:
        """Whether the wall clock moved differently from real time since the last call."""
        wall, steady = self._clock.now(), self._clock.monotonic()
        drift = (wall - self._wall) - (steady - self._steady)
        self._wall, self._steady = wall, steady
        return abs(drift) > self.TOLERANCE
