"""A clock that advances only when a test advances it."""

from __future__ import annotations

#: Default start of a `FakeClock`, in epoch seconds: Tuesday, 14 November 2023, 22:13:20 UTC.
START = 1_700_000_000.0


class FakeClock:
    """A `Clock` that a test controls: a test of a 30-second lease does not wait.

    ```python
    clock = FakeClock()
    broker = open_broker("memory://", clock=clock)
    ...
    clock.advance(31)  # all 30-second leases have expired
    ```
    """

    def __init__(self, now: float = START) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds by which this clock was advanced since its creation."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Advance both clocks by `seconds`. Raises ValueError for a negative number; `jump` sets the wall clock."""
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): seconds must be at least 0; jump() sets the wall clock")
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or backwards by `seconds`; no time passes."""
        self._now += seconds

    def __repr__(self) -> str:
        return f"FakeClock(now={self._now!r})"
