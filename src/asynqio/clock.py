"""Clocks. No other module reads the time of the machine directly."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time. A broker gets a clock when it is created; the layers above use the clock of their broker."""

    def now(self) -> float:
        """Seconds since the epoch. Comparable between machines; jumps when the clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary fixed point. Never jumps; meaningful only in this process."""
        ...


class SystemClock:
    """The clock of the machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __repr__(self) -> str:
        return "SystemClock()"


class ClockStep:
    """Detects jumps of the wall clock (NTP, a suspended machine), so that leases are not judged by a wrong time.

    `jumped()` compares the progress of the wall clock and of the monotonic clock since the last call.
    """

    #: Difference in seconds that counts as a jump. Slewing stays far below it; a lease is never shorter.
    TOLERANCE = 1.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._steady = clock.now(), clock.monotonic()

    def jumped(self) -> bool:
        """Whether the wall clock has jumped since the last call."""
        wall, steady = self._clock.now(), self._clock.monotonic()
        drift = (wall - self._wall) - (steady - self._steady)
        self._wall, self._steady = wall, steady
        return abs(drift) > self.TOLERANCE
