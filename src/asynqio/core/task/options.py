"""The options of a task: what there is, how layers of them become one, and what is a sensible value.

Options come in layers (app or client defaults, the task's own, those of the call); the last one that names
an option wins, `process_at` and `process_in` replace each other across layers, headers are merged by key.
Rules and defaults: spec redis wire format, section 7.1; sub-second durations are kept (bug B33).
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

from asynqio.core.retry import RETRY_HEADER, ExponentialRetry, FixedRetry, GoRetry, PortableRetry, to_header
from asynqio.core.task.unique import OnDuplicate, UniqueUntil
from asynqio.errors import ConflictingOptions, InvalidName, InvalidOption

#: What a task gets that names neither a timeout nor a deadline, in seconds (Go's default).
DEFAULT_TIMEOUT = 1800.0
#: What a task gets that names no max_retry (Go's default).
DEFAULT_MAX_RETRY = 25
#: Longest queue, type, id and group name, in characters.
MAX_NAME = 255
#: Longest duration, in seconds: about 300 years.
MAX_SECONDS = 1e10
#: How long a lock is held at most that was given no time: longer than 25 retries with Go's delays (21 days).
UNTIL_TTL = 30 * 86_400.0
#: Go keeps retry counts in an int32.
MAX_RETRY_LIMIT = 2**31 - 1

Seconds = float | timedelta
Moment = float | datetime
E = TypeVar("E", bound=enum.StrEnum)


class TaskDefaults(TypedDict, total=False):
    """Options that make sense for many tasks at once. Durations are seconds or `timedelta`."""

    queue: str
    max_retry: int
    timeout: Seconds
    process_in: Seconds
    unique: Seconds
    unique_until: Literal["started", "finished", "ended", "expired"]
    unique_key: str
    on_duplicate: Literal["reject", "replace", "reschedule"]
    replace_finished: bool
    retention: Seconds
    group: str
    headers: Mapping[str, str]


class TaskOptions(TaskDefaults, total=False):
    """How one task is to be run. Moments are epoch seconds or aware `datetime`."""

    deadline: Moment
    process_at: Moment
    task_id: str
    retry: PortableRetry


#: The names of all options.
OPTION_NAMES = tuple(sorted(TaskOptions.__optional_keys__))


#: The options that ask for a lock, and the one that says what happens at it.
_LOCKING = frozenset({"unique", "unique_until", "unique_key"})


class Uniqueness(NamedTuple):
    """The lock that is asked for."""

    #: Seconds; 0: none.
    ttl: float
    until: UniqueUntil
    #: What stands for the payload in its key; None: the payload.
    by: bytes | None
    on_duplicate: OnDuplicate


_ANY = Uniqueness(0.0, UniqueUntil.FINISHED, None, OnDuplicate.REJECT)


class Plan(NamedTuple):
    """Options that were checked, in seconds since the epoch and seconds."""

    queue: str
    #: None: a fresh one is to be made.
    task_id: str | None
    group: str
    #: 0: now.
    process_at: float
    unique: Uniqueness
    replace_finished: bool
    timeout: float
    deadline: float
    max_retry: int
    retention: float
    headers: dict[str, str]


def check_options(options: TaskOptions, now: float) -> Plan:
    """What the options (already merged) ask for. Raises InvalidOption, InvalidName, ConflictingOptions."""
    if unknown := sorted(options.keys() - TaskOptions.__optional_keys__):
        raise InvalidOption(unknown[0], options[unknown[0]], _suggest(unknown[0]))  # type: ignore[literal-required]
    queue, id, group = options.get("queue", "default"), options.get("task_id"), options.get("group", "")
    check_name("queue", queue)
    if id is not None:
        check_name("task_id", id)
    if "group" in options:
        check_name("group", group)
    process_at = _moment("process_at", options["process_at"]) if "process_at" in options else 0.0
    if "process_in" in options:
        process_at = now + _duration("process_in", options["process_in"], zero=True)
    timeout, deadline = _limits(options, now)
    if deadline and deadline <= process_at:
        given = "process_in" if "process_in" in options else "process_at"
        raise ConflictingOptions("deadline", given, "it is over before it is due")
    return Plan(
        queue,
        id,
        group,
        process_at,
        _uniqueness(options, process_at, now),
        _yes_or_no("replace_finished", options["replace_finished"])
        if "replace_finished" in options
        else False,
        timeout,
        deadline,
        _max_retry(options),
        _duration("retention", options["retention"], zero=True) if "retention" in options else 0.0,
        _headers(options),
    )


def merge(*layers: TaskOptions | TaskDefaults) -> TaskOptions:
    """One set of options out of several; later layers win."""
    merged: dict[str, Any] = {}
    for given in layers:
        layer: Mapping[str, Any] = given
        if "process_at" in layer and "process_in" in layer:
            raise ConflictingOptions("process_at", "process_in", "say when, or how long from now, not both")
        if "process_at" in layer:
            merged.pop("process_in", None)
        if "process_in" in layer:
            merged.pop("process_at", None)
        headers = {**merged.get("headers", {}), **_mapping(layer["headers"])} if "headers" in layer else None
        merged.update(layer)
        if headers is not None:
            merged["headers"] = headers
    return merged  # type: ignore[return-value]


def check_name(what: str, value: object) -> None:
    """Whether `value` can name a queue, a type, a group or a task. Raises InvalidName.

    Any text that people can read is fine (spaces, colons, braces, other scripts); Go has no rule but
    "not blank", so what others enqueued is always processed, whatever its name.
    """
    if not isinstance(value, str):
        raise InvalidName(what, value, f"must be a string, not {article(value)}")
    if value.isprintable() and value.strip() and len(value) <= MAX_NAME:
        return  # nearly all of them
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


def _uniqueness(options: TaskOptions, process_at: float, now: float) -> Uniqueness:
    """The lock: it is held as long as the task waits for its time, and from then on for its own (section 5.2)."""
    on_duplicate = OnDuplicate.REJECT
    if "on_duplicate" in options:
        on_duplicate = _one_of(OnDuplicate, "on_duplicate", options["on_duplicate"])
    if _LOCKING.isdisjoint(options):
        if on_duplicate is not OnDuplicate.REJECT:
            raise InvalidOption("on_duplicate", on_duplicate.value, "needs a unique task: add unique=seconds")
        return _ANY
    until, by, ttl = UniqueUntil.FINISHED, None, UNTIL_TTL
    if "unique_until" in options:
        until = _one_of(UniqueUntil, "unique_until", options["unique_until"])
    if "unique_key" in options:
        by = _text("unique_key", options["unique_key"])
    if "unique" in options:
        ttl = _duration("unique", options["unique"])
        if ttl < 1:
            raise InvalidOption("unique", options["unique"], "must be at least 1 second")
    elif until is UniqueUntil.EXPIRED:
        raise InvalidOption("unique_until", until.value, "needs to know when: add unique=seconds")
    if until is UniqueUntil.EXPIRED and on_duplicate is not OnDuplicate.REJECT:
        advice = "a throttle refuses whatever comes before its time is over"
        raise ConflictingOptions("unique_until='expired'", f"on_duplicate={on_duplicate.value!r}", advice)
    return Uniqueness(ttl + max(0.0, process_at - now), until, by, on_duplicate)


def _one_of(kind: type[E], option: str, value: Any) -> E:
    try:
        return kind(value)
    except ValueError:
        raise InvalidOption(
            option, value, f"must be one of {', '.join(item.value for item in kind)}"
        ) from None


def _text(option: str, value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise InvalidOption(option, value, "must be a text that is not empty")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidOption(option, value, "must be valid Unicode") from None


def _yes_or_no(option: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(option, value, "must be True or False")
    return value


def _limits(options: TaskOptions, now: float) -> tuple[float, float]:
    timeout = _duration("timeout", options["timeout"]) if "timeout" in options else 0.0
    deadline = _moment("deadline", options["deadline"]) if "deadline" in options else 0.0
    if "deadline" in options and deadline <= now:
        raise InvalidOption("deadline", options["deadline"], "is in the past: the task could never run")
    return (timeout if timeout or deadline else DEFAULT_TIMEOUT), deadline


def _max_retry(options: TaskOptions) -> int:
    value = options.get("max_retry", DEFAULT_MAX_RETRY)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption("max_retry", value, "must be a whole number")
    if not 0 <= value <= MAX_RETRY_LIMIT:
        raise InvalidOption("max_retry", value, f"must be from 0 (no retries) to {MAX_RETRY_LIMIT}")
    return value


def _mapping(headers: object) -> Mapping[Any, Any]:
    if not isinstance(headers, Mapping):
        raise InvalidOption("headers", headers, "must map strings to strings")
    return headers


def _headers(options: TaskOptions) -> dict[str, str]:
    headers: dict[Any, Any] = dict(_mapping(options.get("headers", {})))
    for key, value in headers.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidOption("headers", {key: value}, "must map strings to strings")
        try:
            key.encode()
            value.encode()
        except UnicodeEncodeError:
            raise InvalidOption("headers", {key: value}, "must be valid Unicode") from None
    if "retry" in options:
        policy = options["retry"]
        if not isinstance(policy, GoRetry | FixedRetry | ExponentialRetry):
            raise InvalidOption(
                "retry",
                policy,
                "cannot travel with a task: use GoRetry, FixedRetry or ExponentialRetry here, "
                "and give functions and per-exception policies to the handler or the server",
            )
        headers[RETRY_HEADER] = to_header(policy)
    return headers


def _duration(option: str, value: Seconds, *, zero: bool = False) -> float:
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


def _moment(option: str, value: Moment) -> float:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidOption(
                option, value, "has no time zone: use datetime.now(timezone.utc) or another aware datetime"
            )
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidOption(option, value, "must be an aware datetime or seconds since the epoch")
    if not 0 < value < 1e12:
        raise InvalidOption(option, value, "is not a time in seconds since the epoch")
    return float(value)


def _suggest(name: str) -> str:
    near = difflib.get_close_matches(name, OPTION_NAMES, n=1)
    hint = (
        f", did you mean {near[0]!r}?" if near else f"; options are {', '.join(TaskOptions.__annotations__)}"
    )
    return f"is not an option of a task{hint}"


def article(value: object) -> str:
    """The name of its type, for messages: "a list", "an int"."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
