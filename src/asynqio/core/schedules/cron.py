"""Parses cron specs with the grammar of robfig/cron v3's standard parser, exactly as Go asynq does.

    [TZ=<zone> | CRON_TZ=<zone>] <minute> <hour> <day of month> <month> <day of week>
    [TZ=<zone> | CRON_TZ=<zone>] @yearly | @annually | @monthly | @weekly | @daily | @midnight | @hourly
    [TZ=<zone> | CRON_TZ=<zone>] @every <duration, as in 1h30m>

A field is a comma-separated list of `*`, `?` (equivalent), `n` or `a-b`, each with an optional `/step`; `n/step`
extends to the end of the field. `next_time.py` computes when a spec fires.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from string import ascii_letters, digits
from typing import NamedTuple
from zoneinfo import ZoneInfo

from asynqio.core.durations import SECOND, parse_duration
from asynqio.core.schedules.next_time import CronSchedule, EverySchedule
from asynqio.errors import InvalidSchedule

#: Longest spec, in characters. All numbers of all fields take 400.
MAX_SPEC = 1000

_PREFIXES = ("TZ=", "CRON_TZ=")
#: White space between fields, as in Go. Python counts four more control characters.
_WHITE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_AS_BLANKS = str.maketrans(dict.fromkeys(_WHITE, " "))
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
#: The largest step that Go accepts. All steps larger than the range of a field are equivalent.
_LARGEST = 2**63 - 1
#: Longest name of a time zone in characters, and its alphabet. IANA names have up to 32 characters. ZoneInfo looks up
#: any other name as a file and as a module of the package tzdata; a thousand dots would be a thousand packages.
MAX_ZONE = 64
_ZONE_LETTERS = frozenset(ascii_letters + digits + "/_+-")
#: Longest quotation of a spec in an error, and of a part of it, in characters.
_SPEC_SHOWN, _PART_SHOWN = 120, 40


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    allowed: str
    #: The names of `low`, `low` + 1 and so on.
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59, "0 to 59"),
    _Field("hour", 0, 23, "0 to 23"),
    _Field("day of month", 1, 31, "1 to 31"),
    _Field(
        "month",
        1,
        12,
        "1 to 12 or jan to dec",
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    _Field(
        "day of week",
        0,
        6,
        "0 (Sunday) to 6 or sun to sat",
        ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
    ),
)


class _Problem(Exception):
    """A part of a spec is invalid."""


def parse_schedule(spec: str, zone: str = "UTC") -> CronSchedule | EverySchedule:
    """Parse a spec, in the IANA time zone `zone` unless the spec names another.

    Raises InvalidSchedule for a spec that Go rejects or crashes on, a spec of more than `MAX_SPEC` characters (Go has
    no limit), or a time zone that is unknown on this machine.
    """
    try:
        return _parse(spec, zone)
    except _Problem as problem:
        raise InvalidSchedule(_cut(spec, _SPEC_SHOWN), str(problem)) from None


def _parse(spec: str, zone: str) -> CronSchedule | EverySchedule:
    if len(spec) > MAX_SPEC:
        raise _Problem(f"it has {len(spec):,} characters, at most {MAX_SPEC:,} are allowed")
    if spec.startswith(_PREFIXES):
        name, space, spec = spec.partition("=")[2].partition(" ")
        if not space:
            raise _Problem("a space and then five fields or a descriptor must follow the time zone")
        spec = spec.strip(_WHITE)
        # "Local" is Go's name for the scheduler's own time zone.
        zone = zone if name == "Local" else name
    where = _zone(zone)
    if not spec.startswith("@"):
        return _fields(spec, where)
    if spec.startswith(_EVERY):
        try:
            delay = parse_duration(spec.removeprefix(_EVERY))
        except ValueError as error:
            raise _Problem(f"the duration {_show(spec.removeprefix(_EVERY))} {error}") from None
        # Whole seconds, at least one, also for negative durations.
        return EverySchedule(max(delay // SECOND, 1))
    if spec not in _DESCRIPTORS:
        known = ", ".join(_DESCRIPTORS)
        raise _Problem(f"there is no descriptor {_show(spec)}: use one of {known} or @every <duration>")
    return _fields(_DESCRIPTORS[spec], where)


def _fields(spec: str, zone: tzinfo) -> CronSchedule:
    texts = [text for text in spec.translate(_AS_BLANKS).split(" ") if text]
    if len(texts) != len(_FIELDS):
        raise _Problem(
            "there must be five fields (minute, hour, day of month, month, day of week) or a descriptor such as "
            f"@daily or @every 5m, not {len(texts)} field{'s' if len(texts) != 1 else ''}"
        )
    parsed = [_field(field, text) for field, text in zip(_FIELDS, texts, strict=True)]
    minutes, hours, days, months, weekdays = (bits for bits, _ in parsed)
    return CronSchedule(minutes, hours, days, months, weekdays, parsed[2][1] or parsed[4][1], zone)


def _field(field: _Field, text: str) -> tuple[int, bool]:
    """The numbers of a field as bits, and whether it counts as a star. Empty list items are ignored."""
    bits, star = 0, False
    for part in text.split(","):
        if part:
            more, starred = _part(field, part)
            bits, star = bits | more, star or starred
    return bits, star


def _part(field: _Field, part: str) -> tuple[int, bool]:
    """Parse one list item: a star, a number or a range, with an optional step."""
    range_, *steps = part.split("/")
    first, *last = range_.split("-")
    if len(steps) > 1:
        raise _Problem(f"{field.name} {_show(part)} has more than one step")
    step = _step(field, steps[0]) if steps else 1
    if first in ("*", "?"):  # Go ignores what follows a hyphen
        return _bits(field.low, field.high, step), step == 1
    if len(last) > 1:
        raise _Problem(f"{field.name} {_show(part)} has more than one hyphen")
    low = _number(field, first)
    # With a step, a single number is a range up to the end of the field.
    high = _number(field, last[0]) if last else field.high if steps else low
    if low > high:
        raise _Problem(f"{field.name} {_show(part)} starts after its end")
    return _bits(low, high, step), False


def _bits(low: int, high: int, step: int) -> int:
    bits = 0
    for number in range(low, high + 1, step):
        bits |= 1 << number
    return bits


def _number(field: _Field, text: str) -> int:
    name = text.lower()
    if name in field.names:
        return field.low + field.names.index(name)
    number = _whole(text)
    if number is None or not field.low <= number <= field.high:
        raise _Problem(f"{field.name} {_show(text)} is not allowed: {field.allowed}")
    return number


def _step(field: _Field, text: str) -> int:
    number = _whole(text)
    if number is None or not 1 <= number <= _LARGEST:
        raise _Problem(f"{field.name}: the step {_show(text)} is not a whole number of at least 1")
    return number


def _whole(text: str) -> int | None:
    """Parse a number as Go does: ASCII digits with an optional plus sign."""
    number = text.removeprefix("+")
    return int(number) if number.isascii() and number.isdecimal() else None


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC  # does not need time zone data
    if ".." in name or name.startswith(("/", "\\")):
        raise _Problem(f"the time zone {_show(name)} is a path: give an IANA name such as Europe/Berlin")
    try:
        if len(name) > MAX_ZONE or not _ZONE_LETTERS.issuperset(name):
            raise LookupError
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # no such zone, a directory of zones, or another file
        raise _Problem(
            f"there is no time zone {_show(name)} on this machine: give an IANA name such as Europe/Berlin "
            "(the package tzdata provides time zones on machines without them)"
        ) from None


def _show(text: str) -> str:
    return repr(_cut(text, _PART_SHOWN))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "…"
