"""Task filters: pure, bounded, without regular expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

from asynqio.core.durations import parse_seconds
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.errors import InvalidFilter

#: Longest text of a condition in characters, most payload fields, most steps of a path.
MAX_TEXT, MAX_FIELDS, MAX_STEPS = 1_000, 20, 20
#: The names of text conditions, each with an example.
EXAMPLES = {
    "type": "type=email:*",
    "payload.": "payload.customer.id=42",
    "payload": "payload=ann@example.org",
    "error": "error=timed out",
    "id": "id=0190a2",
    "older": "older=1h30m",
    "younger": "younger=2d",
}

_decode = msgspec.json.Decoder().decode


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Matches tasks for which all conditions hold; without conditions, every task. Raises InvalidFilter.

    `type`: the task type; `*` stands for any characters. `payload`: values of fields of a JSON payload by path
    ("customer.id", "items.0.sku"); a payload that is not JSON or lacks the field does not match. `payload_text`:
    text contained in the payload, as UTF-8. `error`: text contained in the last error, ignoring case. `id_prefix`:
    prefix of the id. `older_than`, `younger_than`: age in seconds, counted from when the task became pending
    (PENDING), completed (COMPLETED) or last failed (RETRY, ARCHIVED); otherwise from when it was enqueued, if its id
    is a UUID of version 7 (ids from Go are not). A task of unknown age matches neither.
    """

    type: str = ""
    payload: Mapping[str, Any] = {}
    payload_text: str = ""
    error: str = ""
    id_prefix: str = ""
    older_than: float | None = None
    younger_than: float | None = None

    def __post_init__(self) -> None:
        for name in ("type", "payload_text", "error", "id_prefix"):
            if len(getattr(self, name)) > MAX_TEXT:
                raise InvalidFilter(
                    f"{name} has {len(getattr(self, name)):,} characters, at most {MAX_TEXT:,} are allowed"
                )
        if len(self.payload) > MAX_FIELDS:
            raise InvalidFilter(f"payload names {len(self.payload)} fields, at most {MAX_FIELDS} are allowed")
        for path in self.payload:
            if not path or len(path) > MAX_TEXT or path.count(".") >= MAX_STEPS:
                raise InvalidFilter(
                    f"payload field {path[:40]!r} is not a path of at most {MAX_STEPS} names, such as customer.id"
                )
        for name in ("older_than", "younger_than"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 <= seconds < math.inf:
                raise InvalidFilter(f"{name}={seconds!r} must be a number of seconds of at least 0")

    @classmethod
    def parse(cls, conditions: Iterable[str]) -> Self:
        """Parse conditions such as `type=email:*`, `payload.customer.id=42` (a JSON value, else text),
        `payload=text`, `error=text`, `id=prefix`, `older=1h30m`, `younger=2d`. Raises InvalidFilter."""
        found: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        for condition in conditions:
            name, equals, text = condition.partition("=")
            if not equals or not text:
                raise InvalidFilter(f"{condition[:80]!r} is not a condition: write {_examples()}")
            if any("\ud800" <= char <= "\udfff" for char in condition):
                raise InvalidFilter(f"{condition[:80]!r} is not valid Unicode")
            if name.startswith("payload."):
                fields[name.removeprefix("payload.")] = _value(text)
                continue
            if name not in _NAMES:
                raise InvalidFilter(f"there is no condition {name[:40]!r}: write {_examples()}")
            if _NAMES[name] in found:
                raise InvalidFilter(f"{name} is given twice")
            found[_NAMES[name]] = _seconds(name, text) if name in ("older", "younger") else text
        return cls(payload=fields, **found)

    def matches(self, info: TaskInfo, now: float) -> bool:
        """Whether the task matches. `now` is in epoch seconds."""
        return (
            info.id.startswith(self.id_prefix)
            and (not self.type or _like(info.type, self.type))
            and (not self.error or self.error.casefold() in info.last_error.casefold())
            and self._has_age(info, now)
            and (
                not self.payload_text or self.payload_text.encode("utf-8", "replace") in (info.payload or b"")
            )
            and (not self.payload or self._has_fields(info.payload))
        )

    def _has_age(self, info: TaskInfo, now: float) -> bool:
        if self.older_than is None and self.younger_than is None:
            return True
        since = age_start(info)
        if not since:
            return False
        age = now - since
        return (self.older_than is None or age >= self.older_than) and (
            self.younger_than is None or age < self.younger_than
        )

    def _has_fields(self, payload: bytes | None) -> bool:
        try:
            found = _decode(payload or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return all(_same(_field(found, path), value) for path, value in self.payload.items())


def age_start(info: TaskInfo) -> float:
    """The time from which a filter counts the age of a task, in epoch seconds; 0 if unknown."""
    match info.state:
        case TaskState.PENDING:
            since = info.pending_since
        case TaskState.COMPLETED:
            since = info.completed_at
        case TaskState.RETRY | TaskState.ARCHIVED:
            since = info.last_failed_at
        case _:
            since = 0.0
    return since or id_created_at(info.id)


def id_created_at(id: str) -> float:
    """The creation time in a UUID of version 7 (RFC 9562), in epoch seconds; 0 for any other id."""
    if len(id) != 36 or id[14] != "7" or id[8] + id[13] + id[18] + id[23] != "----":
        return 0.0
    try:
        return int(id[:8] + id[9:13], 16) / 1_000
    except ValueError:
        return 0.0


def _like(text: str, pattern: str) -> bool:
    """Whether a text matches a pattern in which `*` stands for any characters."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == first
    last = middle.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class _Missing:
    """The value of a missing field: equal to no value."""


def _field(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name, _Missing)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 10 and int(name) < len(value):
            value = value[int(name)]
        else:
            return _Missing
    return value


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: `true` is not 1, but 1.0 is."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _value(text: str) -> Any:
    try:
        return _decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return text


def _seconds(name: str, text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as problem:
        raise InvalidFilter(f"{name}={text[:40]!r} {problem}") from None


def _examples() -> str:
    return ", ".join(EXAMPLES.values())


_NAMES = {
    "type": "type",
    "payload": "payload_text",
    "error": "error",
    "id": "id_prefix",
    "older": "older_than",
    "younger": "younger_than",
}
