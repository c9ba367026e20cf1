"""The options of a schedule entry as texts in the format of Go's tools: `Queue("low")`, `Timeout(1m30s)`.

Go's parser cuts a text at its first `)`, ignores `TaskID` and `Group`, and crashes on a text without `(` (B30). This
parser reads every text that Go or asynqio writes and ignores unknown options.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from asynqio.core.durations import SECOND, format_duration, parse_duration
from asynqio.core.retry import RETRY_HEADER, to_header
from asynqio.core.task.options import Moment, Seconds, TaskOptions
from asynqio.errors import InvalidOption

#: Option → name of Go's function, by kind of value.
_NUMBERS = {"max_retry": "MaxRetry"}
_TEXTS = {"queue": "Queue", "task_id": "TaskID", "group": "Group"}
_DURATIONS = {"timeout": "Timeout", "unique": "Unique", "process_in": "ProcessIn", "retention": "Retention"}
_MOMENTS = {"deadline": "Deadline", "process_at": "ProcessAt"}
_NAMES = {
    go: (option, kind) for kind in (_NUMBERS, _TEXTS, _DURATIONS, _MOMENTS) for option, go in kind.items()
}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\S+) (\d{4})")
_SHORT = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}
_LONG = {letter: char for char, letter in _SHORT.items()}
_ESCAPE = re.compile(r'\\(?:([abfnrtv"\\])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))')
#: Characters that Go's JSON encoder escapes in addition to those that JSON requires.
_HTML = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
#: Go stores durations as int64. Longer ones are written as the longest, about 292 years.
_LONGEST = 2**63 - 1


def option_texts(options: TaskOptions) -> list[str]:
    """Format options, in their order. Raises InvalidOption for an invalid value."""
    texts = []
    given: dict[str, Any] = dict(options)
    headers = dict(given.get("headers", {}))
    if "retry" in given:
        headers[RETRY_HEADER] = to_header(given["retry"])  # stored as a header
    for option, value in given.items():
        if option in _NUMBERS:
            texts.append(f"{_NUMBERS[option]}({value})")
        elif option in _TEXTS:
            texts.append(f"{_TEXTS[option]}({quote(value)})")
        elif option in _DURATIONS:
            texts.append(f"{_DURATIONS[option]}({_duration(option, value)})")
        elif option in _MOMENTS:
            texts.append(f"{_MOMENTS[option]}({_date(option, value)})")
    for pair in headers.items():
        texts.append(
            f"Header({json.dumps(pair, ensure_ascii=False, separators=(',', ':')).translate(_HTML)})"
        )
    return texts


def read_options(texts: Sequence[str]) -> TaskOptions:
    """Parse option texts. Invalid texts are left out."""
    options: dict[str, Any] = {}
    for text in texts:
        name, bracket, rest = text.partition("(")
        if not bracket or not rest.endswith(")"):
            continue
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if name == "Header":
                key, value = json.loads(rest[:-1])
                options.setdefault("headers", {})[str(key)] = str(value)
            elif name in _NAMES:
                option, kind = _NAMES[name]
                options[option] = _read(kind, rest[:-1])
    return options  # type: ignore[return-value]


def quote(text: str) -> str:
    """Quote a string as Go does."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def unquote(text: str) -> str:
    """Reverse `quote`. Raises ValueError."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError(f"{text!r} is not in quotes")
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _escaped(char: str) -> str:
    if char in _SHORT:
        return "\\" + _SHORT[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unescaped(found: re.Match[str]) -> str:
    letter, *codes = found.groups()
    return _LONG[letter] if letter else chr(int(next(code for code in codes if code), 16))


def _duration(option: str, value: Seconds) -> str:
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
        return format_duration(max(-_LONGEST, min(round(seconds * SECOND), _LONGEST)))
    except (TypeError, ValueError, OverflowError):
        raise InvalidOption(option, value, "must be a number of seconds or a timedelta") from None


def _date(option: str, value: Moment) -> str:
    """Format as Unix `date` does, in UTC: readers assume UTC for zones that they do not know."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)
        at = at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidOption(option, value, "must be an aware datetime or seconds since the epoch") from None
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day} {month} {at.day:2} {at:%H:%M:%S} UTC {at.year:04}"


def _read(kind: dict[str, str], text: str) -> Any:
    if kind is _NUMBERS:
        return int(text)
    if kind is _TEXTS:
        return unquote(text)
    if kind is _DURATIONS:
        return parse_duration(text) / SECOND
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a date")
    month, day, hour, minute, second, _, year = found.groups()
    number = _MONTHS.index(month) + 1
    return datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC).timestamp()
