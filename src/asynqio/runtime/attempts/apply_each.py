"""Apply a batch call of the broker item by item when some of its items make it fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from asynqio.errors import AsynqioError, BrokerRefused, BrokerUnavailable, CannotStore, StorageFull

I = TypeVar("I")  # noqa: E741
A = TypeVar("A")

#: Items that fail in a row, each in its own call, after which the others are not tried: the store refuses everything.
MOST_FAILURES = 8
#: Errors of Python while it encodes a value.
_ENCODING = (TypeError, ValueError, OverflowError, msgspec.EncodeError, RecursionError)


def affects_all(error: Exception) -> bool:
    """Whether the store is unavailable: smaller calls would fail too. A full store may accept a smaller one."""
    return isinstance(error, BrokerUnavailable) and not isinstance(error, StorageFull)


def is_permanent(error: Exception) -> bool:
    """Whether the same item can never be stored: it is invalid or too large. Unknown errors are not permanent."""
    if isinstance(error, AsynqioError):
        return isinstance(error, CannotStore)
    return isinstance(error, _ENCODING)


async def apply_each(
    call: Callable[[Sequence[I]], Awaitable[Sequence[A]]], items: Sequence[I]
) -> list[A | Exception]:
    """Return the answer of each item, or the error of its call.

    One call, if it succeeds. Otherwise the batch is halved until the items that fail are alone. An error for which
    `is_permanent` is true belongs to that very item.
    """
    answers: list[A | Exception] = []
    waiting: list[Sequence[I]] = [items]
    failures = 0
    unavailable: Exception | None = None
    while waiting:
        batch = waiting.pop()
        if unavailable is not None:
            answers += [unavailable] * len(batch)
            continue
        try:
            answers += await call(batch)
            failures = 0
        except Exception as error:
            if affects_all(error):
                unavailable = error
                answers += [error] * len(batch)
            elif len(batch) == 1:
                answers.append(error)
                failures += 1
            elif failures < MOST_FAILURES:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
            else:
                refused = BrokerRefused(str(error))
                refused.__cause__ = error
                answers += [refused] * len(batch)
    return answers
