"""Which ticks of a schedule to fire now, including missed ticks.

A tick is a time at which a schedule fires, in whole epoch seconds. A tick that is at most `grace` seconds late is on
time; an older one is missed, and so are all later ones except the newest. The schedule entry defines how many missed
ticks are fired late. The result is bounded, and so is the time to compute it, after any downtime or clock change.
"""

from __future__ import annotations

from collections import deque
from math import ceil, floor
from typing import Literal, NamedTuple

from asynqio.core.schedules.next_time import Schedule

#: Which missed ticks to fire: none, the last one, or the given number of last ones.
Missed = Literal["skip", "once"] | int
#: Most missed ticks that can be fired late.
MAX_MISSED = 1_000
#: Seconds by which a tick may be late and still be on time: default and maximum.
GRACE, MAX_GRACE = 10.0, 3_600.0
#: Extra ticks to step through before the search switches to bisection.
_COUNTED = 64


class Due(NamedTuple):
    """The ticks to fire now, earliest first, and the first missed tick (None if none was missed)."""

    ticks: list[float]
    missed: float | None


def due(schedule: Schedule, after: float, now: float, *, missed: Missed, grace: float) -> Due:
    """The ticks to fire now, later than `after` and not later than `now` (epoch seconds)."""
    first = schedule.next(after, aligned=True)
    if first is None or first > now:
        return Due([], None)
    if first >= now - grace:
        return Due(last_ticks(schedule, after, floor(now) + 1, ceil(grace) + 1), None)
    # No scheduler ran for a while. Only the newest tick can be on time now: firing all ticks of the last `grace`
    # seconds would be a burst.
    wanted = max_missed(missed)
    ticks = last_ticks(schedule, after, floor(now) + 1, wanted + 1)
    if not ticks or ticks[-1] < now - grace:
        ticks = ticks[-wanted:] if wanted else []
    return Due(ticks, first)


def max_missed(missed: Missed) -> int:
    """The largest number of missed ticks to fire late."""
    return 0 if missed == "skip" else 1 if missed == "once" else int(missed)


def last_ticks(schedule: Schedule, after: float, end: float, count: int) -> list[float]:
    """The last `count` ticks later than `after` and before `end`, earliest first; fewer if there are no more."""
    if (few := _counted(schedule, after, end, count)) is not None:
        return few
    found: deque[float] = deque()
    while len(found) < count and (latest := _latest(schedule, after, found[0] if found else end)) is not None:
        found.appendleft(latest)
        if len(found) == 2:
            # Most schedules are regular; then all `count` ticks are later than this guess.
            guess = found[1] - (found[1] - found[0]) * count
            near = _counted(schedule, max(after, guess), end, count)
            if near is not None and len(near) == count:
                return near
    return list(found)


def _counted(schedule: Schedule, after: float, end: float, count: int) -> list[float] | None:
    """As `last_ticks`, by stepping from `after`; None if that takes too many steps."""
    found: deque[float] = deque(maxlen=count)
    tick = schedule.next(after, aligned=True)
    for _ in range(count + _COUNTED):
        if tick is None or tick >= end:
            return list(found)
        found.append(tick)
        tick = schedule.next(tick, aligned=True)
    return None


def _latest(schedule: Schedule, after: float, end: float) -> float | None:
    """The last tick between `after` and `end`, found by bisection."""
    low, high = floor(after), ceil(end) - 1
    found = None
    while low <= high:
        middle = (low + high) // 2
        tick = schedule.next(middle, aligned=True)
        if tick is not None and tick < end:
            found, low = tick, middle + 1
        else:
            high = middle - 1
    return found if found is not None and found > after else None
