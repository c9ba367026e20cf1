"""When a schedule fires: the search for the next match, step for step as robfig/cron v3 makes it for Go asynq.

Go and Python may serve the same entry, so both must mean the same instant, also on the days on which a zone
moves its clocks. On those days that search has habits, which `tests/unit/data/cron.json` shows:

* A local time that does not exist is skipped that day; one that comes twice fires twice.
* Where clocks jump over midnight, it may pass over that day, or the month that begins there.
* Where they jump by half an hour, it may pass over half an hour of the hours behind.

Ours differs in two places. Where Go's never ends, because a zone left out a whole day (Samoa in 2011), and where
its answer is not later than its start, because a zone went back over midnight or by hours (Newfoundland until
2011, Alaska in 1983), ours finds the next match. The rules of zones are those of the machine: two machines whose
zone data are of different releases disagree about zones whose rules have changed between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import floor
from typing import Protocol

#: What does not match until the end of the fifth year from now never fires (robfig's limit).
YEARS = 5
#: Where a search may start, in epoch seconds: the years 68 to 9892. `datetime` can hold all its steps then.
EARLIEST, LATEST = -6e10, 2.5e11

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)
_NOTHING, _ONE_DAY = timedelta(0), timedelta(days=1)
_HOUR, _DAY = 3600, 86400


class Schedule(Protocol):
    """Anything that fires now and then."""

    def next(self, after: float, *, aligned: bool = False) -> float | None:
        """The first time to fire that is later than `after`; None when there is none.

        Both are epoch seconds, the answer a whole number of them. With `aligned` all schedulers have the same
        answer, whenever they started: see `EverySchedule`. Raises ValueError when `after` is not a time from
        `EARLIEST` to `LATEST`.
        """
        ...


@dataclass(frozen=True, slots=True)
class EverySchedule:
    """`@every`: fires each time that `seconds` have passed, a whole number from 1 up.

    Go counts from the moment at which its scheduler starts, and so does `next`: two schedulers have two phases.
    With `aligned` it fires at the multiples of `seconds` since the epoch instead, and schedulers agree on each
    tick without knowing of each other: `@every 1h` on the hour, `@every 24h` at midnight, both in UTC.
    """

    seconds: int

    def next(self, after: float, *, aligned: bool = False) -> float:
        """The second of `after` plus `seconds`, or with `aligned` the multiple that comes next."""
        start = _second(after)
        return float(start + self.seconds - (start % self.seconds if aligned else 0))


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Five fields, each a set of numbers (bit n stands for n; 0 is Sunday), read in one time zone.

    `both_days`: the day of the month and that of the week must match; otherwise one of them is enough.
    """

    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    both_days: bool
    zone: tzinfo

    def next(self, after: float, *, aligned: bool = False) -> float | None:
        """The first match; None when none comes within five years. `aligned` makes no difference."""
        start = _second(after) + 1
        if not (self.minutes and self.hours and self.months and self._has_days()):
            return None  # a field of nothing but commas; step by step that would be millions of them
        found = self._search(start)
        # Where it went back (see above): on by minutes, over what comes twice, which is a day at most.
        for later in range(start - start % 60 + 60, start + _DAY, 60):
            if found is None or found >= start:
                break
            found = self._search(later)
        return None if found is None or found < start else float(found)

    def _search(self, start: int) -> int | None:
        hand = _Hand(start, self.zone)
        last = hand.wall.year + YEARS
        while hand.wall.year <= last:
            # Each unit is looked for within the larger one. Where that is over, all starts again from the months.
            if (
                _turn(hand, self._in_month, hand.next_month, lambda wall: wall.month == 1)
                and _turn(hand, self._on_day, hand.next_day, lambda wall: wall.day == 1)
                and _turn(hand, self._in_hour, hand.next_hour, lambda wall: wall.hour == 0)
                and _turn(hand, self._in_minute, hand.next_minute, lambda wall: wall.minute == 0)
                and _turn(hand, lambda wall: wall.second == 0, hand.end_minute, lambda wall: wall.second == 0)
            ):
                return hand.at
        return None

    def _has_days(self) -> bool:
        return bool(self.days and self.weekdays if self.both_days else self.days or self.weekdays)

    def _in_month(self, wall: datetime) -> bool:
        return bool(self.months >> wall.month & 1)

    def _on_day(self, wall: datetime) -> bool:
        day = self.days >> wall.day & 1
        weekday = self.weekdays >> wall.isoweekday() % 7 & 1
        return bool(day and weekday if self.both_days else day or weekday)

    def _in_hour(self, wall: datetime) -> bool:
        return bool(self.hours >> wall.hour & 1)

    def _in_minute(self, wall: datetime) -> bool:
        return bool(self.minutes >> wall.minute & 1)


def upcoming(schedule: Schedule, after: float, count: int, *, aligned: bool = False) -> list[float]:
    """The next `count` times to fire, in epoch seconds; fewer when there are no more."""
    times: list[float] = []
    while len(times) < count and after <= LATEST:
        found = schedule.next(after, aligned=aligned)
        if found is None:
            break
        times.append(after := found)
    return times


class _Hand:
    """The hand of a clock: an instant, and what the wall clock of its zone shows then.

    Its first move begins at the start of the month, day, hour or minute where it stands; later ones need not.
    """

    def __init__(self, at: int, zone: tzinfo) -> None:
        self.zone = zone
        self.moved = False
        self._set(at)

    def next_month(self) -> None:
        self._begin(day=1, hour=0, minute=0, second=0)
        begin = self.wall.replace(day=1, hour=0, minute=0, second=0)
        year, month = divmod(begin.year * 12 + begin.month, 12)
        # A month after the 30th of January is the 1st or 2nd of March. The hand stands on such days where clocks
        # jump over the midnight with which a month begins: at the end of the month before.
        self._turn_to(datetime(year, month + 1, 1) + (self.wall - begin))

    def next_day(self) -> None:
        self._begin(hour=0, minute=0, second=0)
        before, tomorrow = self.at, self.wall + _ONE_DAY
        self._turn_to(tomorrow)
        if self.at <= before:  # there is no tomorrow in this zone
            self._turn_to(tomorrow + _ONE_DAY)
        # A midnight that does not exist became another hour: on, or back, to the midnight next to it.
        if hour := self.wall.hour:
            self._set(self.at + (24 - hour if hour > 12 else -hour) * _HOUR)

    def next_hour(self) -> None:
        self._begin(minute=0, second=0)
        self._set(self.at + _HOUR)

    def next_minute(self) -> None:
        if not self.moved:
            self.moved = True
            self.at -= self.at % 60
        self._set(self.at + 60)

    def end_minute(self) -> None:
        self.moved = True
        self._set(self.at + 60 - self.wall.second)

    def _begin(self, **unit: int) -> None:
        """To the start of the unit, unless the hand was moved before."""
        if not self.moved:
            self.moved = True
            self._turn_to(self.wall.replace(**unit))  # type: ignore[arg-type]

    def _set(self, at: int) -> None:
        self.at = at
        self.wall = (_EPOCH + timedelta(0, at)).astimezone(self.zone).replace(tzinfo=None)

    def _turn_to(self, wall: datetime) -> None:
        """To where the wall clock shows this. Where it never does, or twice: to the instant that Go takes."""
        local = _seconds(wall - _WALL_EPOCH)
        guess = self._offset(local)
        offset = self._offset(local - guess)
        if offset == guess:
            self.at, self.wall = local - offset, wall
        else:
            self._set(local - offset)

    def _offset(self, at: int) -> int:
        """Seconds by which the zone is ahead of UTC."""
        return _seconds((_EPOCH + timedelta(0, at)).astimezone(self.zone).utcoffset() or _NOTHING)


def _turn(
    hand: _Hand,
    matches: Callable[[datetime], bool],
    step: Callable[[], None],
    over: Callable[[datetime], bool],
) -> bool:
    """Step until it matches; False when the unit around was over before."""
    while not matches(hand.wall):
        step()
        if over(hand.wall):
            return False
    return True


def _seconds(span: timedelta) -> int:
    return span.days * _DAY + span.seconds


def _second(after: float) -> int:
    """The second in which a moment lies."""
    if not EARLIEST <= after <= LATEST:
        raise ValueError(f"{after!r} is not a time in seconds since the epoch")
    return floor(after)
