"""A clock that stands still until a test moves it."""

from __future__ import annotations

#: Where a `FakeClock` starts unless told otherwise: Tuesday, 14 November 2023, 22:13:20 UTC.
START = 1_700_000_000.0


class FakeClock:
    """A `Clock` to move by hand, so that a test of a lease of 30 seconds takes none.

    ```python
    clock = FakeClock()
    broker = open_broker("memory://", clock=clock)
    ...
    clock.advance(31)  # every lease of 30 seconds has lapsed now
    ```
    """

    def __init__(self, now: float = START) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that this clock was advanced since it was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, for both readings. It never runs backwards; use `jump` to set the wall clock."""
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): time does not run backwards; jump() sets the wall clock")
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forwards or backwards; no time passes."""
        self._now += seconds

    def __repr__(self) -> str:
        return f"FakeClock(now={self._now!r})"
