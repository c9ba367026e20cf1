"""Which ticks fire now, and which missed ticks fire late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.misfire import MAX_MISSED, Due, Missed, due, last_ticks
from asynqio.core.schedules.next_time import Schedule
from asynqio.testing.clock import START

HOUR, DAY, YEAR = 3600.0, 86_400.0, 366 * 86_400.0
#: A full hour.
NOON = START - START % HOUR
SPECS = ["@every 1s", "@every 7s", "@every 1h", "* * * * *", "*/7 3 * * *", "0 0 * * 0", "* * 1 1 *"]


def ask(spec: str, after: float, now: float, missed: Missed = "skip", grace: float = 10.0) -> Due:
    return due(parse_schedule(spec), after, now, missed=missed, grace=grace)


def test_no_tick_is_due_early() -> None:
    assert ask("@every 1h", NOON, NOON + HOUR - 0.001) == Due([], None)
    assert ask("@every 1h", NOON, NOON + HOUR) == Due([NOON + HOUR], None)


def test_all_ticks_within_the_grace_are_on_time() -> None:
    assert ask("@every 1s", NOON, NOON + 3.5) == Due([NOON + 1, NOON + 2, NOON + 3], None)
    assert ask("@every 1h", NOON, NOON + HOUR + 10) == Due([NOON + HOUR], None)


@pytest.mark.parametrize(
    ("missed", "late"), [("skip", []), ("once", [2]), (1, [2]), (2, [1, 2]), (3, [1, 2]), (9, [1, 2])]
)
def test_missed_ticks_fire_as_configured(missed: Missed, late: list[int]) -> None:
    found = ask("@every 1h", NOON, NOON + 2.5 * HOUR, missed)
    assert found == Due([NOON + number * HOUR for number in late], NOON + HOUR)


def test_missed_ticks_precede_ticks_on_time() -> None:
    assert ask("@every 1h", NOON, NOON + 2 * HOUR + 5, "once") == Due(
        [NOON + HOUR, NOON + 2 * HOUR], NOON + HOUR
    )
    assert ask("@every 1h", NOON, NOON + 2 * HOUR + 5, "skip") == Due([NOON + 2 * HOUR], NOON + HOUR)


def test_after_a_long_downtime_the_number_of_ticks_is_bounded() -> None:
    now = NOON + 20 * YEAR
    found = ask("@every 1s", NOON, now, "once", grace=3)
    assert found == Due([now - 1, now], NOON + 1)
    assert len(ask("@every 1s", NOON, now, MAX_MISSED, grace=1).ticks) == MAX_MISSED + 1


def test_a_schedule_that_never_fires_has_nothing_due() -> None:
    assert ask("0 0 30 2 *", NOON, NOON + 3 * YEAR, "once") == Due([], None)


@settings(deadline=None, max_examples=80)
@given(
    spec=st.sampled_from(SPECS),
    gap=st.floats(0, 3 * HOUR) | st.floats(0, 9 * DAY),
    missed=cast("st.SearchStrategy[Missed]", st.sampled_from(["skip", "once", 1, 2, 50])),
    grace=st.sampled_from([1.0, 10.0, 61.0]),
)
def test_ticks_equal_those_found_by_stepping(spec: str, gap: float, missed: Missed, grace: float) -> None:
    schedule, now = parse_schedule(spec), NOON + gap
    every: list[float] = []
    at = schedule.next(NOON, aligned=True)
    while at is not None and at <= now and len(every) < 11_000:
        every.append(at)
        at = schedule.next(at, aligned=True)
    if at is not None and at <= now:
        return  # too many steps
    late = [tick for tick in every if tick < now - grace]
    wanted = 0 if missed == "skip" else 1 if missed == "once" else int(missed)
    if not late:
        expected = every
    elif every[-1] >= now - grace:
        expected = every[-wanted - 1 :]
    else:
        expected = every[-wanted:] if wanted else []
    assert due(schedule, NOON, now, missed=missed, grace=grace) == Due(expected, late[0] if late else None)


@pytest.mark.parametrize("spec", SPECS)
def test_the_last_of_many_ticks_are_found_by_bisection(spec: str) -> None:
    schedule: Schedule = parse_schedule(spec)
    end = NOON + 3 * YEAR
    found = last_ticks(schedule, NOON, end, 5)
    near = found[0] - 1
    assert found == [tick for tick in _count(schedule.next, near, 6) if tick < end][-5:]
    following = schedule.next(found[-1], aligned=True)
    assert following is not None
    assert following >= end


def _count(following: Callable[..., float | None], after: float, number: int) -> list[float]:
    ticks = []
    for _ in range(number):
        tick = following(after, aligned=True)
        assert tick is not None
        ticks.append(after := tick)
    return ticks


def test_the_most_expensive_case_is_bounded() -> None:
    began = time.perf_counter()
    found = last_ticks(parse_schedule("* * * * *", "Europe/Berlin"), NOON, NOON + 30 * YEAR, MAX_MISSED)
    print(f"{time.perf_counter() - began:.2f} s for the last {MAX_MISSED} of {30 * YEAR / 60:,.0f} ticks")
    assert len(found) == MAX_MISSED
