"""How long to wait before the next try.

A policy is plain data: it can be given to a server, to a handler, or travel with one task (in the header
`asynqio-retry`, which Go services keep and ignore). `chance` is a number from 0 to 1 that the caller draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias

import msgspec

from asynqio.core.task.message import TaskMessage
from asynqio.errors import ConfigError

#: The header that carries a task's own policy.
RETRY_HEADER = "asynqio-retry"


class RetryPolicy(Protocol):
    """Anything that can say how long to wait."""

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        """Seconds to wait after the failure number `retried` + 1."""
        ...


class GoRetry(msgspec.Struct, frozen=True, tag="go"):
    """Go asynq's formula, the default: n⁴ + 15 + r·(n+1) seconds, r whole and random in 0…29 (section 4.5)."""

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        spread = min(int(chance * 30), 29)
        return float(retried**4 + 15 + spread * (retried + 1))


class FixedRetry(msgspec.Struct, frozen=True, tag="fixed"):
    """Always the same number of seconds."""

    seconds: float = 10.0

    def __post_init__(self) -> None:
        _check("FixedRetry", seconds=self.seconds)

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        return self.seconds


class ExponentialRetry(msgspec.Struct, frozen=True, tag="exponential"):
    """`first`·`factor`ⁿ seconds, never above `cap`; a share of `jitter` (0 to 1) of it is drawn at random."""

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
    """Another policy per exception class; the first match in the order given wins (subclasses match)."""

    policies: Mapping[type[BaseException], RetryPolicy]
    otherwise: RetryPolicy = GoRetry()

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        for kind, policy in self.policies.items():
            if isinstance(error, kind):
                return policy.delay(retried, error, message, chance)
        return self.otherwise.delay(retried, error, message, chance)


class RetryFunction(msgspec.Struct, frozen=True):
    """Go's `RetryDelayFunc`: your own function of the number of retries so far, the error and the task."""

    function: Callable[[int, BaseException, TaskMessage], float | timedelta]

    def delay(self, retried: int, error: BaseException, message: TaskMessage, chance: float) -> float:
        answer = self.function(retried, error, message)
        return answer.total_seconds() if isinstance(answer, timedelta) else float(answer)


#: Policies that are data and can travel with a task.
PortableRetry: TypeAlias = GoRetry | FixedRetry | ExponentialRetry
#: What a server or a handler takes.
RetryLike: TypeAlias = RetryPolicy | Callable[[int, BaseException, TaskMessage], float | timedelta]

_decoder: msgspec.json.Decoder[PortableRetry] = msgspec.json.Decoder(PortableRetry)


def as_policy(retry: RetryLike) -> RetryPolicy:
    """A policy from a policy or a function."""
    if hasattr(retry, "delay"):
        return retry
    return RetryFunction(retry)


def to_header(policy: PortableRetry) -> str:
    """The text that travels with a task."""
    return msgspec.json.encode(policy).decode()


def from_header(text: str) -> PortableRetry | None:
    """The policy in a task's header; None when it is not one (somebody else's header of this name)."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: text that is not Unicode
        return None


def _check(name: str, **values: object) -> None:
    problems = [
        f"{name}({field}={value!r}) must be a number from 0 up"
        for field, value in values.items()
        if not isinstance(value, int | float) or not 0 <= value < float("inf")
    ]
    if problems:
        raise ConfigError(problems)
