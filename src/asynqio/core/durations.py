"""Durations in Go's format: `1m30s`, `1.5µs`, `-2h0m0s`.

Cron specs (`@every 1h30m`) and the option texts of schedule entries (`Timeout(1m30s)`) contain them. A duration is a
whole number of nanoseconds, as in Go: a float of seconds would lose digits.
"""

from __future__ import annotations

#: Nanoseconds in a second.
SECOND = 1_000_000_000

_MICRO = 1000
_MILLI = 1000 * _MICRO
_MINUTE = 60 * SECOND
_HOUR = 60 * _MINUTE
#: Nanoseconds per unit. Micro has two characters: the micro sign (U+00B5) and the Greek mu (U+03BC).
_UNITS = {
    "ns": 1,
    "us": _MICRO,
    "\u00b5s": _MICRO,
    "\u03bcs": _MICRO,
    "ms": _MILLI,
    "s": SECOND,
    "m": _MINUTE,
    "h": _HOUR,
}
#: Go stores durations as int64: about 292 years.
_LONGEST = 2**63 - 1
#: Longest text that is parsed, and longest text quoted in an error, in characters.
MAX_TEXT, _SHOWN = 200, 40


def parse_duration(text: str) -> int:
    """Parse a duration exactly as Go's `time.ParseDuration` does; return nanoseconds, possibly negative.

    The format is an optional sign, then decimal numbers each followed by a unit (ns, us, µs, ms, s, m, h), without
    spaces, or a bare `0`. There is no unit for days. Raises ValueError with a message without a subject ("has no
    unit…"), also for more than `MAX_TEXT` characters; Go has no limit.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"has {len(text):,} characters, at most {MAX_TEXT} are allowed")
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("+", text)
    if rest == "0":
        return 0
    if not rest:
        raise ValueError("is empty: give a duration such as 30s or 1h30m")
    total = 0
    while rest:
        whole, rest = _digits(rest)
        fraction, rest = _digits(rest[1:]) if rest[:1] == "." else ("", rest)
        if not whole and not fraction:
            raise ValueError(f"needs a number before {_show(rest)}, as in 30s or 1h30m")
        end = next((at for at, char in enumerate(rest) if char in ".0123456789"), len(rest))
        unit, rest = rest[:end], rest[end:]
        if not unit:
            raise ValueError(f"has no unit after {_show(whole or '.' + fraction)}: units are {_names()}")
        if unit not in _UNITS:
            raise ValueError(f"has the unknown unit {_show(unit)}: units are {_names()}")
        total += _nanoseconds(whole, fraction, _UNITS[unit])
        if total > _LONGEST + (sign == "-"):
            raise ValueError("is too long: at most about 292 years")
    return -total if sign == "-" else total


def parse_seconds(text: str) -> float:
    """Parse a number of seconds (`90`, `1.5`), a duration of Go (`1h30m`), or days (`7d`, `1d12h`).

    Returns seconds. Raises ValueError with a message without a subject, also for negative durations.
    """
    days, has_days, rest = text.partition("d") if "d" in text else ("0", "", text)
    number = text if not has_days else days
    plain = number.replace(".", "", 1).isascii() and number.replace(".", "", 1).isdecimal()
    if has_days and (not plain or len(days) > 10):
        raise ValueError(f"needs a number of days before 'd', as in 7d, not {_show(days)}")
    if not has_days and plain and len(text) <= MAX_TEXT:
        seconds = float(text)
    else:
        seconds = float(days) * 86_400 + (parse_duration(rest) / SECOND if rest or not has_days else 0.0)
    if not 0 <= seconds <= _LONGEST / SECOND:
        raise ValueError("must be at least 0 and at most about 292 years")
    return seconds


def format_duration(nanoseconds: int) -> str:
    """Format nanoseconds as Go's `Duration.String` does: `0s`, `100ns`, `1.5µs`, `500ms`, `1m30s`, `24h0m0s`.

    Raises ValueError beyond 292 years, the range of Go's durations.
    """
    if not -_LONGEST - 1 <= nanoseconds <= _LONGEST:
        raise ValueError(f"{nanoseconds} ns is too long for Go: at most about 292 years")
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("\u00b5s", _MICRO), ("ms", _MILLI)):
        if 0 < left < min(size * 1000, SECOND):
            return f"{sign}{_decimal(left, size)}{unit}"
    hours, minutes = divmod(left // _MINUTE, 60)
    seconds = f"{_decimal(left % _MINUTE, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _nanoseconds(whole: str, fraction: str, unit: int) -> int:
    """Convert one number. As in Go, a fraction is cut to 18 digits and computed in floats."""
    if len(whole.lstrip("0")) > 19:  # longer than any number of Go
        raise ValueError("is too long: at most about 292 years")
    part, scale = 0, 1.0
    for digit in fraction:
        if part > _LONGEST // 10 or part * 10 + int(digit) > 2**63:
            break
        part, scale = part * 10 + int(digit), scale * 10
    return int(whole or 0) * unit + int(float(part) * (unit / scale))


def _digits(text: str) -> tuple[str, str]:
    """Split `text` after its leading digits."""
    end = next((at for at, char in enumerate(text) if char not in "0123456789"), len(text))
    return text[:end], text[end:]


def _decimal(value: int, size: int) -> str:
    """`value` / `size` (a power of ten) without trailing zeros."""
    whole, part = divmod(value, size)
    digits = str(part).zfill(len(str(size)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _show(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _names() -> str:
    return "ns, us, µs, ms, s, m and h (a day is 24h)"
