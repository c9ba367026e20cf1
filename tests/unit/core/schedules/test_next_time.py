"""The next tick: later than the start, as in Go, and found by a short search."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.next_time import EARLIEST, LATEST, YEARS, CronSchedule, EverySchedule, upcoming

ZONES = [
    *(
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Europe/Dublin",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
    ),
    *(
        "America/Havana",
        "Asia/Beirut",
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/St_Johns",
        "Pacific/Apia",
    ),
    *(
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "Antarctica/Troll",
        "Atlantic/Azores",
        "Pacific/Kwajalein",
        "Asia/Pyongyang",
    ),
]


def at(text: str) -> float:
    """Epoch seconds of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def fires(spec: str, after: str, count: int = 3, zone: str = "UTC") -> list[str]:
    """The next ticks in local time."""
    times = upcoming(parse_schedule(spec, zone), at(after), count)
    return [f"{datetime.fromtimestamp(time, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %z}" for time in times]


# --- every ----------------------------------------------------------------------------------------------


def test_every_counts_from_the_start_as_in_go() -> None:
    assert EverySchedule(90).next(1000.0) == 1090.0
    assert EverySchedule(90).next(1000.999) == 1090.0
    assert EverySchedule(1).next(1000.999) == 1001.0


def test_aligned_schedulers_agree_independent_of_their_start() -> None:
    schedule = EverySchedule(90)
    assert upcoming(schedule, 900.0, 3, aligned=True) == [990.0, 1080.0, 1170.0]
    assert {schedule.next(900 + late / 4, aligned=True) for late in range(360)} == {990.0}
    assert schedule.next(-1.0, aligned=True) == 0.0
    hourly = parse_schedule("@every 1h").next(at("2026-01-05T09:30:00"), aligned=True)
    assert hourly == at("2026-01-05T10:00:00")


@given(st.integers(1, 10**6), st.floats(-1e9, 4e9))
def test_aligned_ticks_are_all_multiples(seconds: int, after: float) -> None:
    found = EverySchedule(seconds).next(after, aligned=True)
    assert found % seconds == 0
    assert found - seconds <= after < found


def test_aligned_has_no_effect_on_a_cron_spec() -> None:
    schedule = parse_schedule("*/5 * * * *")
    assert schedule.next(1000.5, aligned=True) == schedule.next(1000.5) == 1200.0


# --- clock changes ----------------------------------------------------------------------


def test_a_local_time_that_does_not_exist_is_skipped() -> None:
    assert fires("30 2 * * *", "2024-03-09T12:00:00", 2, "America/New_York") == [
        "2024-03-11 02:30:00 -0400",
        "2024-03-12 02:30:00 -0400",
    ]


def test_a_local_time_that_occurs_twice_fires_twice() -> None:
    assert fires("30 1 * * *", "2024-11-02T12:00:00", 3, "America/New_York") == [
        "2024-11-03 01:30:00 -0400",
        "2024-11-03 01:30:00 -0500",
        "2024-11-04 01:30:00 -0500",
    ]


def test_after_a_skipped_day_the_next_match_fires() -> None:
    """Go's search does not end here."""
    assert fires("0 12 * * *", "2011-12-29T00:00:00", 2, "Pacific/Apia") == [
        "2011-12-29 12:00:00 -1000",
        "2011-12-31 12:00:00 +1400",
    ]
    assert fires("0 12 30 * *", "2011-12-28T00:00:00", 1, "Pacific/Apia") == ["2012-01-30 12:00:00 +1400"]


def test_when_clocks_go_back_by_hours_ticks_still_advance() -> None:
    """Go returns 01:00 of daylight saving time here, which is earlier."""
    assert fires("0 1 * * *", "1983-10-30T09:30:00", 2, "America/Juneau") == [
        "1983-10-30 01:00:00 -0900",
        "1983-10-31 01:00:00 -0900",
    ]
    assert fires("0 6 * * *", "1969-09-30T17:30:00", 1, "Pacific/Kwajalein") == ["1969-09-30 06:00:00 -1200"]


def test_when_clocks_go_back_over_midnight_ticks_still_advance() -> None:
    """Go returns 23:31 for a whole hour here."""
    assert fires("31-55 */13 * * *", "2001-10-28T03:31:00", 2, "America/Goose_Bay") == [
        "2001-10-28 00:31:00 -0400",
        "2001-10-28 00:32:00 -0400",
    ]


# --- properties -----------------------------------------------------------------------------------------


def bits(low: int, high: int) -> st.SearchStrategy[int]:
    """Sets of numbers, often full or with a single number."""
    single = st.integers(low, high).map(lambda n: 1 << n)
    some = st.sets(st.integers(low, high)).map(lambda numbers: sum(1 << n for n in numbers))
    return st.one_of(single, some, st.just(sum(1 << n for n in range(low, high + 1))))


schedules = st.builds(
    CronSchedule,
    minutes=bits(0, 59),
    hours=bits(0, 23),
    days=bits(1, 31),
    months=bits(1, 12),
    weekdays=bits(0, 6),
    both_days=st.booleans(),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
#: Mostly years with many clock changes.
moments = st.one_of(st.floats(-1e9, 2e9), st.integers(0, 2 * 10**9).map(float), st.floats(EARLIEST, LATEST))


@given(schedules, moments)
@example(parse_schedule("31 */13 * * *", "America/Goose_Bay"), 1004239743.0)
@example(parse_schedule("0 6 * * *", "Pacific/Kwajalein"), -7972200.0)
@example(parse_schedule("0 12 31 12 *", "Pacific/Kiritimati"), 788724000.0)
def test_each_tick_is_a_later_whole_second(schedule: CronSchedule, after: float) -> None:
    times = upcoming(schedule, after, 4)
    assert all(first < second for first, second in pairwise([after, *times]))
    assert all(time.is_integer() for time in times)


@given(schedules, moments)
def test_a_tick_in_utc_matches_each_field(schedule: CronSchedule, after: float) -> None:
    found = replace(schedule, zone=UTC).next(after)
    assume(found is not None)
    wall = datetime(1970, 1, 1) + timedelta(seconds=found or 0)
    day, weekday = schedule.days >> wall.day & 1, schedule.weekdays >> wall.isoweekday() % 7 & 1
    assert schedule.minutes >> wall.minute & 1
    assert schedule.hours >> wall.hour & 1
    assert schedule.months >> wall.month & 1
    assert day and weekday if schedule.both_days else day or weekday
    assert wall.second == 0


def test_the_start_is_never_a_tick() -> None:
    schedule = parse_schedule("* * * * *")
    assert [schedule.next(after) for after in (59.0, 59.999, 60.0, 60.001, 119.0)] == [
        60.0,
        60.0,
        120.0,
        120.0,
        120.0,
    ]


def test_the_list_of_ticks_ends_with_the_schedule() -> None:
    assert fires("0 0 29 2 *", "1896-03-01T00:00:00") == []  # 1900 had none
    assert upcoming(EverySchedule(10**11), 2e11, 3) == [3e11]
    assert upcoming(EverySchedule(60), 0.0, 0) == []


@pytest.mark.parametrize("after", [math.nan, math.inf, -math.inf, 1e18, -1e18])
@pytest.mark.parametrize("spec", ["@daily", "@every 5s", ", * * * *"])
def test_an_invalid_time_is_rejected(spec: str, after: float) -> None:
    with pytest.raises(ValueError, match="is not a time in seconds since the epoch"):
        parse_schedule(spec).next(after)


# --- cost of a search -------------------------------------------------------------------------------


class Counting(tzinfo):
    """A zone that counts its calls, which dominate the cost of a search."""

    def __init__(self, zone: str) -> None:
        self.zone, self.asked = ZoneInfo(zone), 0

    def fromutc(self, moment: datetime) -> datetime:
        self.asked += 1
        return self.zone.fromutc(moment.replace(tzinfo=self.zone)).replace(tzinfo=self)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self.zone.utcoffset(moment.replace(tzinfo=self.zone) if moment else None)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> None:
        return None


def cost(schedule: CronSchedule, after: float, zone: str) -> int:
    counting = Counting(zone)
    replace(schedule, zone=counting).next(after)
    return counting.asked


#: A call costs about 1 µs. The most expensive specs examine each day of the five short months of six years.
MOST_LOOKS = 2500


@pytest.mark.parametrize(
    "spec", ["0 0 31 2 *", "0 0 30 2 ?", "0 0 31 2,4,6,9,11 *", "59 23 29 2 0", "59 23 31 12 *", "* * * * *"]
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Beirut"])
def test_a_search_without_a_match_is_short(spec: str, zone: str) -> None:
    schedule = parse_schedule(spec)
    assert isinstance(schedule, CronSchedule)
    assert cost(schedule, at("2026-03-01T00:00:01"), zone) <= MOST_LOOKS


@pytest.mark.parametrize(
    "spec", [", * * * *", "* , * * *", "* * , * *", "* * * , *", "* * * * ,", "* * , * ,"]
)
def test_a_field_of_only_commas_is_not_searched(spec: str) -> None:
    schedule = parse_schedule(spec)
    assert isinstance(schedule, CronSchedule)
    assert schedule.next(0.0) is None
    assert cost(schedule, 0.0, "UTC") == 0


@given(schedules, st.floats(0, 2e9))
def test_no_search_is_long(schedule: CronSchedule, after: float) -> None:
    assert cost(schedule, after, "America/New_York") <= MOST_LOOKS


# --- compared with cronsim -------------------------------------------------------------------------------------


def fields(low: int, high: int, *, stars: Iterable[str] = ("*", "*/2", "*/7")) -> st.SearchStrategy[str]:
    """Fields with the same meaning in both: no `?`, `n/step` or 7, and no step of a star where stars count."""
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1])
    part = st.one_of(
        number.map(str),
        span.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(span, st.integers(1, high)).map(lambda given: f"{given[0][0]}-{given[0][1]}/{given[1]}"),
    )
    return st.one_of(st.sampled_from(list(stars)), st.lists(part, min_size=1, max_size=3).map(",".join))


specs = st.tuples(
    fields(0, 59), fields(0, 23), fields(1, 31, stars=["*"]), fields(1, 12), fields(0, 6, stars=["*"])
).map(" ".join)


@given(specs, st.integers(0, 2 * 10**9))
def test_cronsim_finds_the_same_ticks(spec: str, after: int) -> None:
    start = datetime.fromtimestamp(after, UTC)
    theirs = CronSim(spec, start)
    found = parse_schedule(spec).next(after)
    expected = next(theirs, None)
    if found is None:
        assert expected is None or expected.year > start.year + YEARS
    else:
        assert expected is not None
        assert found == expected.timestamp()
