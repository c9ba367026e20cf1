"""The options of a task: their names, how layers of them become one, and what they ask for.

Options come in layers (app or client defaults, the task's own, those of the call). The last layer that names an
option wins; `process_at` and `process_in` replace each other across layers; headers are merged by key. Names,
rules and defaults are those of Go asynq; fractions of seconds are kept (B33).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypedDict

from asynqio.core.retry import RETRY_HEADER, PortableRetry, to_header
from asynqio.core.task import option_values as values
from asynqio.core.task.option_names import unknown_option
from asynqio.core.task.option_values import Moment as Moment
from asynqio.core.task.option_values import Seconds as Seconds
from asynqio.core.task.option_values import article as article
from asynqio.core.task.option_values import check_name as check_name
from asynqio.core.task.unique import OnDuplicate, UniqueUntil
from asynqio.errors import ConflictingOptions, InvalidOption, InvalidTask

#: The timeout of a task that has neither a timeout nor a deadline, in seconds (Go's default).
DEFAULT_TIMEOUT = 1800.0
#: The max_retry of a task that has none (Go's default).
DEFAULT_MAX_RETRY = 25
#: The longest time, in seconds, that a lock without a duration is held: more than 25 retries with Go's delays take
#: (21 days).
UNTIL_TTL = 30 * 86_400.0


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
_IN_ORDER = tuple(TaskOptions.__annotations__)
#: Options that would be the same for every task of an app or a function.
_ONE_TASK_ONLY = ("deadline", "process_at", "task_id")
#: Options that ask for a lock.
_LOCKING = frozenset({"unique", "unique_until", "unique_key"})

#: The check of each option: it takes the name and the value.
_CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "queue": check_name,
    "max_retry": values.retries,
    "timeout": values.duration,
    "deadline": values.moment,
    "process_in": values.duration_or_zero,
    "process_at": values.moment,
    "unique": values.lock_duration,
    "unique_until": partial(values.one_of, UniqueUntil),
    "unique_key": values.text,
    "on_duplicate": partial(values.one_of, OnDuplicate),
    "replace_finished": values.yes_or_no,
    "task_id": lambda option, value: None if value is None else check_name(option, value),
    "retention": values.duration_or_zero,
    "group": check_name,
    "headers": values.text_mapping,
    "retry": values.portable_retry,
}


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
    """Checked options, in seconds and seconds since the epoch."""

    queue: str
    #: None: make a fresh one.
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


def check_declared(
    options: Mapping[str, Any],
    place: str,
    name: str = "",
    *,
    one_task: bool = True,
    also: Mapping[str, str] | None = None,
) -> None:
    """Check options where they are written: every name, and every value by itself.

    `place` and `name` ("task", "email:send") begin the message. Unless they are for `one_task`, an id or a moment is
    refused. `also`: what to write instead of names that are wrong in this place. Whether options fit together can
    depend on other layers: `check_options` decides. Raises InvalidOption, InvalidName, ConflictingOptions.
    """
    try:
        for option, value in options.items():
            check = _CHECKS.get(option)
            if check is None:
                raise unknown_option(option, value, _IN_ORDER, also)
            check(option, value)
            if not one_task and option in _ONE_TASK_ONLY:
                raise InvalidOption(
                    option, value, "is for one task: give it to with_options(…) or enqueue(…)"
                )
        if "process_at" in options and "process_in" in options:
            raise _both_times()
    except InvalidTask as error:
        raise error.within(f"{place} {name!r}" if name else place) from None


def check_retry(retry: object, place: str, name: str = "") -> None:
    """Check the retry policy of an app or a task function, which need not be portable. Raises InvalidOption."""
    try:
        values.retry_policy("retry", retry)
    except InvalidTask as error:
        raise error.within(f"{place} {name!r}" if name else place) from None


def check_options(options: TaskOptions, now: float) -> Plan:
    """What the options (already merged) ask for. Raises InvalidOption, InvalidName, ConflictingOptions."""
    if not options.keys() <= TaskOptions.__optional_keys__:
        unknown = min(options.keys() - TaskOptions.__optional_keys__)
        raise unknown_option(unknown, options[unknown], _IN_ORDER)  # type: ignore[literal-required]
    queue, id, group = options.get("queue", "default"), options.get("task_id"), options.get("group", "")
    check_name("queue", queue)
    if id is not None:
        check_name("task_id", id)
    if "group" in options:
        check_name("group", group)
    process_at = values.moment("process_at", options["process_at"]) if "process_at" in options else 0.0
    if "process_in" in options:
        process_at = now + values.duration_or_zero("process_in", options["process_in"])
    timeout, deadline = _limits(options, now)
    if deadline and deadline <= process_at:
        given = "process_in" if "process_in" in options else "process_at"
        raise ConflictingOptions("deadline", given, "the deadline is over before the task is due")
    return Plan(
        queue,
        id,
        group,
        process_at,
        _uniqueness(options, process_at, now),
        values.yes_or_no("replace_finished", options["replace_finished"])
        if "replace_finished" in options
        else False,
        timeout,
        deadline,
        values.retries("max_retry", options["max_retry"]) if "max_retry" in options else DEFAULT_MAX_RETRY,
        values.duration_or_zero("retention", options["retention"]) if "retention" in options else 0.0,
        _headers(options),
    )


def merge(*layers: TaskOptions | TaskDefaults) -> TaskOptions:
    """One set of options out of several; later layers win. Raises ConflictingOptions, InvalidOption."""
    merged: dict[str, Any] = {}
    for given in layers:
        layer: Mapping[str, Any] = given
        if "process_at" in layer and "process_in" in layer:
            raise _both_times()
        if "process_at" in layer:
            merged.pop("process_in", None)
        if "process_in" in layer:
            merged.pop("process_at", None)
        headers = (
            {**merged.get("headers", {}), **values.mapping("headers", layer["headers"])}
            if "headers" in layer
            else None
        )
        merged.update(layer)
        if headers is not None:
            merged["headers"] = headers
    return merged  # type: ignore[return-value]


def _both_times() -> ConflictingOptions:
    return ConflictingOptions("process_at", "process_in", "give a moment or a delay, not both")


def _uniqueness(options: TaskOptions, process_at: float, now: float) -> Uniqueness:
    """The lock. It is held while the task waits until it is due, and for its own duration from then on."""
    on_duplicate = OnDuplicate.REJECT
    if "on_duplicate" in options:
        on_duplicate = values.one_of(OnDuplicate, "on_duplicate", options["on_duplicate"])
    if _LOCKING.isdisjoint(options):
        if on_duplicate is not OnDuplicate.REJECT:
            raise InvalidOption("on_duplicate", on_duplicate.value, "needs a unique task: add unique=seconds")
        return _ANY
    until, by, ttl = UniqueUntil.FINISHED, None, UNTIL_TTL
    if "unique_until" in options:
        until = values.one_of(UniqueUntil, "unique_until", options["unique_until"])
    if "unique_key" in options:
        by = values.text("unique_key", options["unique_key"])
    if "unique" in options:
        ttl = values.lock_duration("unique", options["unique"])
    elif until is UniqueUntil.EXPIRED:
        raise InvalidOption("unique_until", until.value, "needs a duration: add unique=seconds")
    if until is UniqueUntil.EXPIRED and on_duplicate is not OnDuplicate.REJECT:
        advice = "a throttle refuses every task until its time is over"
        raise ConflictingOptions("unique_until='expired'", f"on_duplicate={on_duplicate.value!r}", advice)
    return Uniqueness(ttl + max(0.0, process_at - now), until, by, on_duplicate)


def _limits(options: TaskOptions, now: float) -> tuple[float, float]:
    timeout = values.duration("timeout", options["timeout"]) if "timeout" in options else 0.0
    deadline = values.moment("deadline", options["deadline"]) if "deadline" in options else 0.0
    if "deadline" in options and deadline <= now:
        raise InvalidOption("deadline", options["deadline"], "is in the past: the task could never run")
    return (timeout if timeout or deadline else DEFAULT_TIMEOUT), deadline


def _headers(options: TaskOptions) -> dict[str, str]:
    headers = values.text_mapping("headers", options["headers"]) if "headers" in options else {}
    if "retry" in options:
        headers[RETRY_HEADER] = to_header(values.portable_retry("retry", options["retry"]))
    return headers
