"""Runs a long operation as many short transactions, with rests between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from asynqio.brokers.sqlite.session import Session
from asynqio.brokers.sqlite.storage.transaction import Transaction

P = ParamSpec("P")
T = TypeVar("T")

#: Rows changed by one transaction of a long operation: other processes wait for its end (about 5 ms).
STEP = 250
#: Longest rest in seconds.
LONGEST_REST = 0.02


def chunks(items: Sequence[T], size: int = STEP) -> Iterator[Sequence[T]]:
    """The items in parts of `size`, one for each transaction."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Pace:
    """The pace of one long operation.

    Other processes poll for the write lock, so they would hardly get it between two transactions that follow each
    other at once. Between two transactions this rests for half as long as the first one took.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._took = 0.0

    async def write(
        self, step: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Rest for half as long as the last transaction took, then run one."""
        if self._took > 0:
            await asyncio.sleep(min(self._took / 2, LONGEST_REST))
        now = self._session.clock.monotonic

        def timed(transaction: Transaction) -> T:
            began = now()
            answer = step(transaction, *args, **kwargs)
            self._took = now() - began
            return answer

        return await self._session.write(timed)
