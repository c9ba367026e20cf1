"""Which ticks of a schedule to fire now, and what becomes of those that nobody fired in time.

A tick is a time at which a schedule fires, in whole seconds since the epoch. One that is at most `grace` seconds
late is on time; an older one was missed, and so were those after it but for the newest: the entry says what becomes
of them. However long nobody looked, and
whatever the clock was set to, the answer is short and found in short time: no storm.
"""

from __future__ import annotations

from collections import deque
from math import ceil, floor
from typing import Literal, NamedTuple

from asynqio.core.schedules.next_time import Schedule

#: Of the ticks that were missed: none, the last one, or so many of the last ones.
Missed = Literal["skip", "once"] | int
#: Most ticks that can be made up.
MAX_MISSED = 1_000
#: Seconds that a tick may be late and still count as on time, unless a scheduler says otherwise; and at most.
GRACE, MAX_GRACE = 10.0, 3_600.0
#: Ticks that are counted one by one, beside those that are wanted, before the search goes by halves.
_COUNTED = 64


class Due(NamedTuple):
    """What to fire now, earliest first, and the first tick that was missed (None: none was)."""

    ticks: list[float]
    missed: float | None


def due(schedule: Schedule, after: float, now: float, *, missed: Missed, grace: float) -> Due:
    """The ticks later than `after` and not later than `now` that are to be fired now."""
    first = schedule.next(after, aligned=True)
    if first is None or first > now:
        return Due([], None)
    if first >= now - grace:
        return Due(last_ticks(schedule, after, floor(now) + 1, ceil(grace) + 1), None)
    # Nobody was there for a while. What is on time after that is the newest tick at most: all those of the last
    # seconds would be a storm.
    wanted = how_many(missed)
    ticks = last_ticks(schedule, after, floor(now) + 1, wanted + 1)
    if not ticks or ticks[-1] < now - grace:
        ticks = ticks[-wanted:] if wanted else []
    return Due(ticks, first)


def how_many(missed: Missed) -> int:
    """The number of missed ticks that are made up at most."""
    return 0 if missed == "skip" else 1 if missed == "once" else int(missed)


def last_ticks(schedule: Schedule, after: float, end: float, count: int) -> list[float]:
    """The last `count` ticks later than `after` and before `end`, earliest first; fewer when there are no more."""
    if (few := _counted(schedule, after, end, count)) is not None:
        return few
    found: deque[float] = deque()
    while len(found) < count and (latest := _latest(schedule, after, found[0] if found else end)) is not None:
        found.appendleft(latest)
        if len(found) == 2:
            # Most schedules are regular: then all of them are not further back than this.
            guess = found[1] - (found[1] - found[0]) * count
            near = _counted(schedule, max(after, guess), end, count)
            if near is not None and len(near) == count:
                return near
    return list(found)


def _counted(schedule: Schedule, after: float, end: float, count: int) -> list[float] | None:
    """The same, one by one; None when there are too many for that."""
    found: deque[float] = deque(maxlen=count)
    tick = schedule.next(after, aligned=True)
    for _ in range(count + _COUNTED):
        if tick is None or tick >= end:
            return list(found)
        found.append(tick)
        tick = schedule.next(tick, aligned=True)
    return None


def _latest(schedule: Schedule, after: float, end: float) -> float | None:
    """The last tick between, found by halving: what comes next after a moment tells on which side it is."""
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
