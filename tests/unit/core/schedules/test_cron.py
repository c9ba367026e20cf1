"""Cron specs have the same meaning as in Go."""

from __future__ import annotations

import pickle
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.schedules.cron import MAX_SPEC, parse_schedule
from asynqio.core.schedules.next_time import CronSchedule, EverySchedule
from asynqio.errors import AsynqioError, InvalidSchedule
from tests.schedules import Row, cron_table, difference

TABLE = cron_table()


def label(row: Row) -> str:
    return f"{row.asked.spec!r} {row.asked.zone} {row.asked.after:.0f}"[:100]


def parse_cron(spec: str, zone: str = "UTC") -> CronSchedule:
    schedule = parse_schedule(spec, zone)
    assert isinstance(schedule, CronSchedule)
    return schedule


def numbers(bits: int) -> set[int]:
    return {n for n in range(64) if bits >> n & 1}


# --- compared with Go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE, ids=label)
def test_a_spec_fires_at_the_times_of_go(row: Row) -> None:
    assert not difference(row)


def test_the_table_covers_all_kinds_of_specs() -> None:
    assert len([row for row in TABLE if row.go.times]) >= 500
    assert len([row for row in TABLE if row.go.error]) >= 140
    assert any(row.go.error.startswith("panic: ") for row in TABLE)
    assert len({row.asked.zone for row in TABLE if row.go.times}) >= 14
    assert {row.asked.zone for row in TABLE if row.go.hangs} == {"Pacific/Apia", "Pacific/Kiritimati"}
    assert {row.asked.zone for row in TABLE if row.is_lost and not row.go.hangs} == {
        "America/Goose_Bay",
        "America/Juneau",
        "Pacific/Kwajalein",
    }


# --- the value ------------------------------------------------------------------------------------------


def test_fields_are_sets_of_numbers() -> None:
    schedule = parse_cron("*/20 9-17/4 1,15 jan,NOV-12 mon-Fri/2")
    assert numbers(schedule.minutes) == {0, 20, 40}
    assert numbers(schedule.hours) == {9, 13, 17}
    assert numbers(schedule.days) == {1, 15}
    assert numbers(schedule.months) == {1, 11, 12}
    assert numbers(schedule.weekdays) == {1, 3, 5}
    assert schedule.zone is UTC


@pytest.mark.parametrize(
    ("fields", "both"),
    [
        ("13 fri", False),
        ("* fri", True),
        ("13 *", True),
        ("13 ?", True),
        ("13 */1", True),
        ("13 */2", False),
        ("*/2 fri", False),
        ("5,* fri", True),
        ("1-31 fri", False),
    ],
)
def test_a_star_in_either_field_makes_both_days_count(fields: str, both: bool) -> None:
    day, weekday = fields.split()
    assert parse_cron(f"0 0 {day} * {weekday}").both_days is both


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ("@every 1h30m", 5400),
        ("@every 1.9s", 1),
        ("@every 10ms", 1),
        ("@every -5m", 1),
        ("@every 0s", 1),
        ("@every 0", 1),
        ("TZ=Asia/Tokyo @every 2s", 2),
    ],
)
def test_every_is_in_whole_seconds(spec: str, seconds: int) -> None:
    assert parse_schedule(spec) == EverySchedule(seconds)


def test_equal_specs_are_equal_also_in_another_process() -> None:
    schedule = parse_schedule("TZ=Europe/Berlin 0 0 * * 0")
    assert (
        schedule
        == parse_schedule("CRON_TZ=Europe/Berlin @weekly")
        == parse_schedule("@weekly", "Europe/Berlin")
    )
    assert schedule != parse_schedule("@weekly")
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({schedule, parse_schedule("@weekly", "Europe/Berlin")}) == 1


def test_the_zone_argument_applies_unless_the_spec_names_a_zone() -> None:
    assert parse_cron("@daily", "Asia/Tokyo").zone == parse_cron("TZ=Asia/Tokyo @daily").zone
    assert parse_cron("TZ=Local @daily", "Asia/Tokyo") == parse_cron("@daily", "Asia/Tokyo")
    assert parse_cron("TZ=UTC @daily", "Asia/Tokyo").zone is UTC
    assert parse_cron("TZ=UTC @daily", "Nowhere/Land").zone is UTC


# --- invalid specs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("60 * * * *", "minute '60' is not allowed: 0 to 59"),
        ("* * * * 7", "day of week '7' is not allowed: 0 (Sunday) to 6 or sun to sat"),
        ("* * * 1-13 *", "month '13' is not allowed: 1 to 12 or jan to dec"),
        ("* * L * *", "day of month 'L' is not allowed: 1 to 31"),
        ("5-1 * * * *", "minute '5-1' starts after its end"),
        ("1-2-3 * * * *", "minute '1-2-3' has more than one hyphen"),
        ("* */2/2 * * *", "hour '*/2/2' has more than one step"),
        ("* */0 * * *", "hour: the step '0' is not a whole number of at least 1"),
        (
            "* * * * * *",
            (
                "there must be five fields (minute, hour, day of month, month, day of week) or a descriptor such as "
                "@daily or @every 5m, not 6 fields"
            ),
        ),
        (
            "@reboot",
            (
                "there is no descriptor '@reboot': use one of @yearly, @annually, @monthly, @weekly, @daily, "
                "@midnight, @hourly or @every <duration>"
            ),
        ),
        (
            "@every 1d",
            "the duration '1d' has the unknown unit 'd': units are ns, us, µs, ms, s, m and h (a day is 24h)",
        ),
        ("TZ=UTC", "a space and then five fields or a descriptor must follow the time zone"),
        (
            "TZ=Mars/Base @daily",
            (
                "there is no time zone 'Mars/Base' on this machine: give an IANA name such as Europe/Berlin (the "
                "package tzdata provides time zones on machines without them)"
            ),
        ),
        (
            "TZ=../../etc/passwd @daily",
            "the time zone '../../etc/passwd' is a path: give an IANA name such as Europe/Berlin",
        ),
    ],
)
def test_an_error_names_the_part_and_the_allowed_values(spec: str, reason: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(spec)
    assert str(caught.value) == f"schedule {spec!r}: {reason}"
    assert (caught.value.spec, caught.value.reason) == (spec, reason)


def test_the_error_is_an_asynqio_error_and_a_value_error() -> None:
    assert issubclass(InvalidSchedule, AsynqioError)
    assert issubclass(InvalidSchedule, ValueError)


@pytest.mark.parametrize(
    "zone", ["Nowhere/Land", "/etc/localtime", "..", "Local", "Europe", "a\x00b", "\ud800"]
)
def test_the_zone_argument_is_checked(zone: str) -> None:
    with pytest.raises(InvalidSchedule, match="time zone"):
        parse_schedule("@daily", zone)


# --- hostile input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "*" * 1_000_000,
        "TZ=" + "A" * 1_000_000 + " @daily",
        "@every " + "1" * 1_000_000 + "s",
        "@every " + "0" * (MAX_SPEC - 9) + "1s",
        "9" * 900 + " * * * *",
        "*/" + "9" * 900 + " * * * *",
        "TZ=" + "a." * 400 + " @daily",  # each dot would be a package
        "TZ=" + "a/" * 400 + "b @daily",
        "TZ=" + "../" * 300 + "etc/passwd @daily",
        "TZ=/dev/zero @daily",
        "TZ=__init__ @daily",
        "TZ=con @daily",
        "5\n4 * * * \x00",
        "\ud800 * * * *",
        "-".join("1" * 400) + " * * * *",
        "/".join("1" * 400) + " * * * *",
    ],
    ids=range(16),
)
def test_hostile_specs_are_rejected_with_one_short_line(spec: str) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(spec)
    assert len(str(caught.value)) < 500
    assert len(caught.value.spec) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [
        ",".join("*" * 490) + " * * * *",
        ",".join(["0-59/1"] * 140) + " * * * *",
        "," * 900 + "5 * * * *",
        "*/000000000000000000001 * * * *",
        ",".join(map(str, range(60))) + " " + ",".join(map(str, range(24))) + " * * *",
        "5" + " " * 900 + "4 * * *",
    ],
    ids=range(6),
)
def test_long_lists_are_parsed(spec: str) -> None:
    assert len(spec) <= MAX_SPEC
    assert numbers(parse_cron(spec).minutes) <= set(range(60))


#: Parts of random specs.
PIECES = "* ? / - , + 0 1 5 31 59 60 jan MON sun L # @ @every @daily TZ= CRON_TZ= UTC Europe/Berlin . .. 1h 0.5s -3m"
pieces = st.sampled_from([*PIECES.split(), " ", "\t", "\xa0", "\x1c", "@every "])


def outcome(spec: str, zone: str) -> CronSchedule | EverySchedule | str:
    """The schedule, or the error."""
    try:
        return parse_schedule(spec, zone)
    except InvalidSchedule as error:
        return str(error)


@given(st.one_of(st.text(st.characters()), st.lists(pieces).map("".join)))
def test_every_invalid_text_raises_invalid_schedule(text: str) -> None:
    for spec, zone in (
        (text, "UTC"),
        (f"TZ={text} @daily", "UTC"),
        (f"@every {text}", "UTC"),
        ("@daily", text),
    ):
        found = outcome(spec, zone)
        if isinstance(found, str):
            assert "\n" not in found
        else:
            assert (found.next(0.0) or 1) > 0
