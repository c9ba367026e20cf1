"""Retry policies: the delay before the next attempt.

A policy is plain data. Set it on a server, on a handler, or on one task; a task carries it in the header
`asynqio-retry`, which Go services preserve and ignore. `chance` is a random number from 0 to 1.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias

import msgspec

from asynqio.core.task.message import TaskMessage
from asynqio.errors import ConfigError

#: The longest delay, in seconds; longer ones are cut. The same limit as that of the options of a task.
MAX_DELAY = 1e10
#: The header that carries the policy of a task.
RETRY_HEADER = "asynqio-retry"


class RetryPolicy(Protocol):
    """Computes the delay before a retry."""

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        """Seconds to wait after failure number `retried` + 1."""
        ...


class GoRetry(msgspec.Struct, frozen=True, tag="go"):
    """Go asynq's formula, the default: n⁴ + 15 + r·(n+1) seconds, with a random whole number r from 0 to 29."""

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        spread = min(int(chance * 30), 29)
        return float(retried**4 + 15 + spread * (retried + 1))


class FixedRetry(msgspec.Struct, frozen=True, tag="fixed"):
    """A constant delay in seconds."""

    seconds: float = 10.0

    def __post_init__(self) -> None:
        _check("FixedRetry", seconds=self.seconds)

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        return self.seconds


class ExponentialRetry(msgspec.Struct, frozen=True, tag="exponential"):
    """`first`·`factor`ⁿ seconds, at most `cap`. The share `jitter` (0 to 1) of the delay is random."""

    first: float = 1.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        _check("ExponentialRetry", first=self.first, factor=self.factor, cap=self.cap, jitter=self.jitter)
        if self.jitter > 1 or self.factor < 1:
            raise ConfigError(["ExponentialRetry: factor must be at least 1 and jitter at most 1"])

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        try:
            full = min(self.first * self.factor**retried, self.cap)
        except OverflowError:
            full = self.cap if self.first else 0.0
        return full * (1 - self.jitter + self.jitter * chance)


class RetryByException(msgspec.Struct, frozen=True):
    """One policy per exception class. The first match in the given order applies; subclasses match."""

    policies: Mapping[type[BaseException], RetryPolicy]
    otherwise: RetryPolicy = GoRetry()

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        for kind, policy in self.policies.items():
            if isinstance(error, kind):
                return policy.delay(retried, error, message, chance)
        return self.otherwise.delay(retried, error, message, chance)


class RetryFunction(msgspec.Struct, frozen=True):
    """A function of the number of retries so far, the error and the message, as Go's `RetryDelayFunc`."""

    function: Callable[[int, BaseException, TaskMessage], float | timedelta]

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        delay = self.function(retried, error, message)
        return delay.total_seconds() if isinstance(delay, timedelta) else float(delay)


#: Policies that a task can carry.
PortableRetry: TypeAlias = GoRetry | FixedRetry | ExponentialRetry
#: What a server or a handler accepts.
RetryLike: TypeAlias = RetryPolicy | Callable[[int, BaseException, TaskMessage], float | timedelta]

_decoder: msgspec.json.Decoder[PortableRetry] = msgspec.json.Decoder(PortableRetry)


def as_policy(retry: RetryLike) -> RetryPolicy:
    """Wrap a function as a policy; return a policy unchanged. Raises ConfigError."""
    if hasattr(retry, "delay"):
        return retry
    if inspect.iscoroutinefunction(retry):
        raise ConfigError([f"retry={retry!r} must be a plain function: its answer is needed at once"])
    return RetryFunction(retry)


def delay_of(
    policy: RetryPolicy, retried: int, error: BaseException, message: TaskMessage, chance: float
) -> float:
    """The delay that a policy computes, at most `MAX_DELAY` seconds. Raises ValueError if it is negative, infinite
    or not a number, and what the policy raises."""
    answer: object = policy.delay(retried, error, message, chance)
    if not isinstance(answer, int | float) or not 0 <= answer < math.inf:
        raise ValueError(f"the delay {answer!r} is not a number of seconds, 0 or more")
    return float(min(answer, MAX_DELAY))


def delay_after_crash(
    policy: RetryPolicy, retried: int, error: BaseException, message: TaskMessage, chance: float
) -> float:
    """The delay after the death of the server that ran the task: 0 unless the application's own code decides, in a
    function, in a policy class, or as a class of `RetryByException` that matches. Raises as `delay_of` does."""
    match policy:
        case GoRetry() | FixedRetry() | ExponentialRetry():
            return 0.0
        case RetryByException(policies) if not isinstance(error, tuple(policies)):
            return 0.0
        case _:
            return delay_of(policy, retried, error, message, chance)


def to_header(policy: PortableRetry) -> str:
    """Encode a policy as the value of `RETRY_HEADER`."""
    return msgspec.json.encode(policy).decode()


def from_header(text: str) -> PortableRetry | None:
    """Decode the value of `RETRY_HEADER`; None if it is not a policy."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: text that is not Unicode
        return None


def _check(name: str, **values: object) -> None:
    problems = [
        f"{name}({field}={value!r}) must be a number of at least 0"
        for field, value in values.items()
        if not isinstance(value, int | float) or not 0 <= value < float("inf")
    ]
    if problems:
        raise ConfigError(problems)
