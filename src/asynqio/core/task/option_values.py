"""What each option of a task takes: one check per kind of value. Each raises InvalidOption or InvalidName."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from asynqio.core.retry import ExponentialRetry, FixedRetry, GoRetry, PortableRetry
from asynqio.errors import InvalidName, InvalidOption

#: Longest queue, type, id and group name, in characters.
MAX_NAME = 255
#: Longest duration, in seconds: about 300 years.
MAX_SECONDS = 1e10
#: Go keeps retry counts in an int32.
MAX_RETRY_LIMIT = 2**31 - 1

#: A duration: seconds or a timedelta.
Seconds = float | timedelta
#: A point in time: seconds since the epoch or an aware datetime.
Moment = float | datetime
E = TypeVar("E", bound=enum.StrEnum)


def check_name(what: str, value: object) -> None:
    """Check that `value` can name a queue, a type, a group or a task. Raises InvalidName.

    Any readable text will do (spaces, colons, braces, any script). Go's only rule is "not blank", so every task
    that another producer enqueued is processed, whatever its name.
    """
    if not isinstance(value, str):
        raise InvalidName(what, value, f"must be a string, not {article(value)}")
    if value.isascii() and value.isprintable() and value.strip() and len(value) <= MAX_NAME:
        return  # the usual case
    if not value.strip():
        raise InvalidName(what, value, "must not be blank")
    if len(value) > MAX_NAME:
        raise InvalidName(
            what, value[:40] + "…", f"has {len(value)} characters, at most {MAX_NAME} are allowed"
        )
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in value):
        raise InvalidName(what, value, "must not contain control characters (line breaks, tabs, NUL…)")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise InvalidName(what, value, "must be valid Unicode: it contains half of a surrogate pair")
    if not any(_is_visible(char) for char in value):
        raise InvalidName(what, value, "must contain a visible character")


#: Letters and symbols that show nothing: fillers of Hangul, the empty Braille pattern.
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"


def _is_visible(char: str) -> bool:
    """Whether a character shows something by itself: combining marks and format characters do not."""
    return char not in _BLANKS and unicodedata.category(char) not in (
        "Cc",
        "Cf",
        "Mn",
        "Me",
        "Zl",
        "Zp",
        "Zs",
    )


def one_of(kind: type[E], option: str, value: Any) -> E:
    """A member of `kind`, by its value."""
    try:
        return kind(value)
    except ValueError:
        raise InvalidOption(
            option, value, f"must be one of {', '.join(item.value for item in kind)}"
        ) from None


def text(option: str, value: object) -> bytes:
    """A text that is not empty, in UTF-8."""
    if not isinstance(value, str) or not value:
        raise InvalidOption(option, value, "must be a text that is not empty")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidOption(option, value, "must be valid Unicode") from None


def yes_or_no(option: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidOption(option, value, "must be True or False")
    return value


def payload_limit(option: str, value: object) -> int:
    """A size in bytes."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOption(option, value, "must be a whole number of bytes from 1 up")
    return value


def retries(option: str, value: object) -> int:
    """A number of retries."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption(option, value, "must be a whole number")
    if not 0 <= value <= MAX_RETRY_LIMIT:
        raise InvalidOption(option, value, f"must be from 0 (no retries) to {MAX_RETRY_LIMIT}")
    return value


def mapping(option: str, value: object) -> Mapping[Any, Any]:
    """A mapping, of whatever."""
    if not isinstance(value, Mapping):
        raise InvalidOption(option, value, "must map strings to strings")
    return value


def text_mapping(option: str, value: object) -> dict[str, str]:
    """A mapping of texts to texts."""
    texts: dict[Any, Any] = dict(mapping(option, value))
    for key, text in texts.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise InvalidOption(option, {key: text}, "must map strings to strings")
        try:
            key.encode()
            text.encode()
        except UnicodeEncodeError:
            raise InvalidOption(option, {key: text}, "must be valid Unicode") from None
    return texts


def portable_retry(option: str, value: object) -> PortableRetry:
    """A retry policy that can travel with a task."""
    if isinstance(value, GoRetry | FixedRetry | ExponentialRetry):
        return value
    raise InvalidOption(
        option,
        value,
        "cannot travel with a task: use GoRetry, FixedRetry or ExponentialRetry here, "
        "and give functions and per-exception policies to the handler or the server",
    )


def retry_policy(option: str, value: object) -> None:
    """A retry policy of any kind, or a function."""
    if isinstance(value, type):
        raise InvalidOption(option, value, f"is a class: write {value.__name__}(…)")
    if not hasattr(value, "delay") and not callable(value):
        raise InvalidOption(
            option,
            value,
            "must be a policy such as FixedRetry(10), or a function; the number of retries is max_retry",
        )


def duration(option: str, value: Any, *, zero: bool = False) -> float:
    """A duration, in seconds. `zero`: it may be 0."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(option, value, "must be a number of seconds or a timedelta")
    else:
        seconds = value
    if seconds > MAX_SECONDS:
        raise InvalidOption(option, value, f"is too long: at most {MAX_SECONDS:.0e} seconds")
    if not seconds >= 0 or (seconds == 0 and not zero):
        raise InvalidOption(
            option,
            value,
            "must be from 0 up" if zero else "must be more than 0 (leave it out for the default)",
        )
    return float(seconds)


def duration_or_zero(option: str, value: Any) -> float:
    """A duration that may be 0, in seconds."""
    return duration(option, value, zero=True)


def lock_duration(option: str, value: Any) -> float:
    """How long a uniqueness lock is held, in seconds."""
    seconds = duration(option, value)
    if seconds < 1:
        raise InvalidOption(option, value, "must be at least 1 second")
    return seconds


def moment(option: str, value: Any) -> float:
    """A point in time, in seconds since the epoch."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidOption(
                option, value, "has no time zone: use datetime.now(timezone.utc) or another aware datetime"
            )
        seconds = value.timestamp()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(option, value, "must be an aware datetime or seconds since the epoch")
    else:
        seconds = value
    if not 0 < seconds < 1e12:
        raise InvalidOption(option, value, "is not a time in seconds since the epoch")
    return float(seconds)


def article(value: object) -> str:
    """The name of a value's type, for messages: "a list", "an int"."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
