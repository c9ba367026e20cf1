"""Aggregate functions: which groups each one merges into one task, and when those groups are ripe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

from asynqio.core.groups import GroupRule
from asynqio.core.task.options import check_name
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, InvalidName

#: Makes one task out of a group's name and members, oldest first. May be async; a plain function runs in a thread.
Aggregate: TypeAlias = Callable[[str, Sequence[Task]], Task | Awaitable[Task]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aggregation:
    """A function for some groups, with their own rule. Durations are seconds or `timedelta`; None is the server's
    `group_grace`, `group_max_delay` or `group_max_size`. A call that takes longer than `timeout` fails; None is no
    limit. Raises ConfigError."""

    function: Aggregate
    grace: float | timedelta | None = None
    max_delay: float | timedelta | None = None
    max_size: int | None = None
    timeout: float | timedelta | None = None

    def __post_init__(self) -> None:
        problems = []
        function: object = self.function
        if not callable(function):
            problems.append(f"{function!r} is not a function of a group and its members")
        for name, least in (("grace", 1), ("max_delay", 0), ("max_size", 0), ("timeout", 0.001)):
            value = getattr(self, name)
            number = value.total_seconds() if isinstance(value, timedelta) else value
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                problems.append(f"{name}={value!r} must be a number")
            elif number < least or (name == "max_size" and number != int(number)):
                kind = "whole number" if name == "max_size" else "number"
                problems.append(f"{name}={value!r} must be a {kind}, at least {least}")
        if problems:
            raise ConfigError(problems)

    @property
    def seconds(self) -> float | None:
        """`timeout` in seconds."""
        return None if self.timeout is None else _seconds(self.timeout)

    def rule(self, default: GroupRule) -> GroupRule:
        """When its groups are ripe; `default` supplies what is None."""
        return GroupRule(
            default.grace if self.grace is None else _seconds(self.grace),
            default.max_delay if self.max_delay is None else _seconds(self.max_delay),
            default.max_size if self.max_size is None else int(self.max_size),
        )


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


#: The `aggregate` argument of a server: one function for all groups, or one for each pattern.
Aggregates: TypeAlias = Aggregate | Aggregation | Mapping[str, Aggregate | Aggregation]


def aggregations(given: Aggregates | None) -> dict[str, Aggregation]:
    """An Aggregation for each pattern; "" matches every group. Raises ConfigError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        given = {"": given}
    found = {}
    for pattern, one in given.items():
        check_pattern(pattern)
        found[pattern] = one if isinstance(one, Aggregation) else Aggregation(function=one)
    return found


def check_pattern(pattern: str) -> None:
    """Raises ConfigError if no group's name can begin with the pattern."""
    if pattern == "":
        return
    try:
        check_name("group", pattern)
    except InvalidName as problem:
        raise ConfigError([str(problem)]) from None
