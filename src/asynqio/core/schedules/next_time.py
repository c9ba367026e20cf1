"""The next tick of a schedule, computed with the same algorithm as robfig/cron v3, which Go asynq uses.

Go and Python schedulers may serve the same entry, so both must compute the same instant, also on days with a clock
change. The algorithm behaves as follows on such days (`tests/unit/data/cron.json` has examples):

* A local time that does not exist is skipped on that day; one that occurs twice fires twice.
* If clocks skip midnight, the search may skip that day, or the month that begins then.
* If clocks change by half an hour, the search may skip half an hour of the hours that follow.

This module differs from Go in two cases. It finds the next match where Go's search does not end because a zone
skipped a whole day (Samoa in 2011), and where Go's answer is not later than the start because a zone went back over
midnight or by hours (Newfoundland until 2011, Alaska in 1983). Time zone data is that of the machine: machines with
different releases disagree about zones whose rules changed in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import floor
from typing import Protocol

#: A schedule without a match until the end of the fifth year from now never fires (robfig's limit).
YEARS = 5
#: Range of start times in epoch seconds: the years 68 to 9892. `datetime` can represent all steps of a search then.
EARLIEST, LATEST = -6e10, 2.5e11

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)
_NOTHING, _ONE_DAY = timedelta(0), timedelta(days=1)
_HOUR, _DAY = 3600, 86400


class Schedule(Protocol):
    """Computes ticks."""

    def next(self, after: float, *, aligned: bool = False) -> float | None:
        """The first tick later than `after`, in whole epoch seconds; None if there is none.

        With `aligned`, the result does not depend on when a scheduler started; see `EverySchedule`. Raises
        ValueError if `after` (epoch seconds) is not between `EARLIEST` and `LATEST`.
        """
        ...


@dataclass(frozen=True, slots=True)
class EverySchedule:
    """`@every`: fires every `seconds` seconds, a whole number of at least 1.

    As in Go, `next` counts from `after`, so each scheduler has its own phase. With `aligned`, ticks are the multiples
    of `seconds` since the epoch, and schedulers agree on each tick without coordination: `@every 1h` on the hour,
    `@every 24h` at midnight, both in UTC.
    """

    seconds: int

    def next(self, after: float, *, aligned: bool = False) -> float:
        """The whole second of `after` plus `seconds`; with `aligned`, the next multiple of `seconds`."""
        start = _second(after)
        return float(start + self.seconds - (start % self.seconds if aligned else 0))


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Five fields, each a set of numbers as bits (weekday 0 is Sunday), in one time zone.

    `both_days`: both the day of the month and the day of the week must match; otherwise one of them.
    """

    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    both_days: bool
    zone: tzinfo

    def next(self, after: float, *, aligned: bool = False) -> float | None:
        """The first match later than `after`; None without a match within five years. `aligned` has no effect."""
        start = _second(after) + 1
        if not (self.minutes and self.hours and self.months and self._has_days()):
            return None  # a field of only commas never matches; searching would take millions of steps
        found = self._search(start)
        # If the search went back (see above), continue by minutes past the repeated time, which is a day at most.
        for later in range(start - start % 60 + 60, start + _DAY, 60):
            if found is None or found >= start:
                break
            found = self._search(later)
        return None if found is None or found < start else float(found)

    def _search(self, start: int) -> int | None:
        cursor = _Cursor(start, self.zone)
        last = cursor.wall.year + YEARS
        while cursor.wall.year <= last:
            # Match each unit within the larger one. When the larger unit ends, start again from the months.
            if (
                _step_until(cursor, self._in_month, cursor.next_month, lambda wall: wall.month == 1)
                and _step_until(cursor, self._on_day, cursor.next_day, lambda wall: wall.day == 1)
                and _step_until(cursor, self._in_hour, cursor.next_hour, lambda wall: wall.hour == 0)
                and _step_until(cursor, self._in_minute, cursor.next_minute, lambda wall: wall.minute == 0)
                and _step_until(
                    cursor,
                    lambda wall: wall.second == 0,
                    cursor.end_minute,
                    lambda wall: wall.second == 0,
                )
            ):
                return cursor.at
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
    """The next `count` ticks, in epoch seconds; fewer if there are no more."""
    times: list[float] = []
    while len(times) < count and after <= LATEST:
        found = schedule.next(after, aligned=aligned)
        if found is None:
            break
        times.append(after := found)
    return times


class _Cursor:
    """The cursor of the search: an instant and its local time.

    The first step starts at the beginning of the current month, day, hour or minute; later steps need not.
    """

    def __init__(self, at: int, zone: tzinfo) -> None:
        self.zone = zone
        self.stepped = False
        self._set(at)

    def next_month(self) -> None:
        self._begin(day=1, hour=0, minute=0, second=0)
        begin = self.wall.replace(day=1, hour=0, minute=0, second=0)
        year, month = divmod(begin.year * 12 + begin.month, 12)
        # One month after 30 January is 1 or 2 March. The cursor is on such a day if clocks skip the midnight at the
        # beginning of a month: it is then at the end of the month before.
        self._turn_to(datetime(year, month + 1, 1) + (self.wall - begin))

    def next_day(self) -> None:
        self._begin(hour=0, minute=0, second=0)
        before, tomorrow = self.at, self.wall + _ONE_DAY
        self._turn_to(tomorrow)
        if self.at <= before:  # the zone skipped the next day
            self._turn_to(tomorrow + _ONE_DAY)
        # A midnight that does not exist became another hour: go to the nearest midnight.
        if hour := self.wall.hour:
            self._set(self.at + (24 - hour if hour > 12 else -hour) * _HOUR)

    def next_hour(self) -> None:
        self._begin(minute=0, second=0)
        self._set(self.at + _HOUR)

    def next_minute(self) -> None:
        if not self.stepped:
            self.stepped = True
            self.at -= self.at % 60
        self._set(self.at + 60)

    def end_minute(self) -> None:
        self.stepped = True
        self._set(self.at + 60 - self.wall.second)

    def _begin(self, **unit: int) -> None:
        """Go to the start of the unit if this is the first step."""
        if not self.stepped:
            self.stepped = True
            self._turn_to(self.wall.replace(**unit))  # type: ignore[arg-type]

    def _set(self, at: int) -> None:
        self.at = at
        self.wall = (_EPOCH + timedelta(0, at)).astimezone(self.zone).replace(tzinfo=None)

    def _turn_to(self, wall: datetime) -> None:
        """Go to this local time. If it does not exist or occurs twice, go to the instant that Go chooses."""
        local = _seconds(wall - _WALL_EPOCH)
        guess = self._offset(local)
        offset = self._offset(local - guess)
        if offset == guess:
            self.at, self.wall = local - offset, wall
        else:
            self._set(local - offset)

    def _offset(self, at: int) -> int:
        """The UTC offset of the zone in seconds."""
        return _seconds((_EPOCH + timedelta(0, at)).astimezone(self.zone).utcoffset() or _NOTHING)


def _step_until(
    cursor: _Cursor,
    matches: Callable[[datetime], bool],
    step: Callable[[], None],
    over: Callable[[datetime], bool],
) -> bool:
    """Step until the unit matches; False if the larger unit ended first."""
    while not matches(cursor.wall):
        step()
        if over(cursor.wall):
            return False
    return True


def _seconds(span: timedelta) -> int:
    return span.days * _DAY + span.seconds


def _second(after: float) -> int:
    """The whole second of a time."""
    if not EARLIEST <= after <= LATEST:
        raise ValueError(f"{after!r} is not a time in seconds since the epoch")
    return floor(after)
