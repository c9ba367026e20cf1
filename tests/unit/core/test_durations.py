"""Durations are parsed and formatted exactly as in Go."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asynqio.core.durations import MAX_TEXT, SECOND, format_duration, parse_duration, parse_seconds
from tests.schedules import Printed, duration_difference, duration_table

#: The largest int64.
LONGEST = 2**63 - 1


@pytest.mark.parametrize(("text", "go"), duration_table().items(), ids=lambda value: repr(value)[:60])
def test_a_text_is_parsed_as_go_parses_it(text: str, go: Printed) -> None:
    assert not duration_difference(text, go)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1000, "1µs"),
        (1500, "1.5µs"),
        (999_999, "999.999µs"),
        (1_000_000, "1ms"),
        (500_000_000, "500ms"),
        (999_999_999, "999.999999ms"),
        (SECOND, "1s"),
        (1_500_000_000, "1.5s"),
        (SECOND + 1, "1.000000001s"),
        (60 * SECOND, "1m0s"),
        (90 * SECOND, "1m30s"),
        (3600 * SECOND, "1h0m0s"),
        (86_400 * SECOND, "24h0m0s"),
        (-1, "-1ns"),
        (-5400 * SECOND - SECOND // 4, "-1h30m0.25s"),
        (LONGEST, "2562047h47m16.854775807s"),
        (-LONGEST - 1, "-2562047h47m16.854775808s"),
    ],
)
def test_a_duration_is_formatted_with_its_units(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text
    assert parse_duration(text) == nanoseconds


@given(st.integers(-LONGEST - 1, LONGEST))
def test_a_formatted_duration_is_parsed_back(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("nanoseconds", [LONGEST + 1, -LONGEST - 2, 10**30])
def test_a_duration_beyond_the_range_of_go_is_rejected(nanoseconds: int) -> None:
    with pytest.raises(ValueError, match="too long for Go: at most about 292 years"):
        format_duration(nanoseconds)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty: give a duration such as 30s or 1h30m"),
        ("s", "needs a number before 's', as in 30s or 1h30m"),
        ("5", "has no unit after '5': units are ns, us, µs, ms, s, m and h (a day is 24h)"),
        ("-.5", "has no unit after '.5': units are ns, us, µs, ms, s, m and h (a day is 24h)"),
        ("1d", "has the unknown unit 'd': units are ns, us, µs, ms, s, m and h (a day is 24h)"),
        ("300000000h", "is too long: at most about 292 years"),
        ("1h" * 101, "has 202 characters, at most 200 are allowed"),
    ],
)
def test_an_invalid_duration_is_rejected_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == reason


def outcome(text: str) -> int | str:
    """Nanoseconds, or the error text."""
    try:
        return parse_duration(text)
    except ValueError as error:
        return str(error)


@given(st.one_of(st.text(), st.text("+-.0159nsuµmhd ", max_size=30)))
@example("9" * MAX_TEXT)
@example("0." + "9" * 190 + "h")
@example("1s" * 100)
@example("0" * 190 + "7s")
def test_every_invalid_text_raises_value_error(text: str) -> None:
    found = outcome(text)
    if isinstance(found, str):
        assert "\n" not in found
        assert len(found) < 200
    else:
        assert -LONGEST - 1 <= found <= LONGEST


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("7d", 604_800),
        ("1d12h", 129_600),
        ("0.5d", 43_200),
    ],
)
def test_seconds_are_parsed(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "d", "-1", "-5s", "1w", "soon", "1d2", "1_000", "٣", "9" * 30, "1e9", "nan", "dd", "1h2d"]
)
def test_an_invalid_number_of_seconds_is_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        parse_seconds(text)
