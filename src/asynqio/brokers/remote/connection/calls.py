"""The calls of one session that have no answer yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from asynqio.brokers.remote.wire.operation import Operation

Reply: TypeAlias = "asyncio.Future[Any]"


class Call:
    """A call. Its message is kept until it is answered: it may have to be sent again."""

    __slots__ = ("answer", "data", "id", "late", "operation", "progress", "sent_at", "started_at")

    def __init__(
        self,
        id: int,
        operation: Operation,
        data: bytes,
        answer: Reply,
        started_at: float,
        progress: Callable[[int], None] | None = None,
        late: Callable[[Reply], None] | None = None,
    ) -> None:
        self.id = id
        self.operation = operation
        self.data = data
        self.answer = answer
        #: Loop time. `sent_at` is 0 while it was not sent.
        self.started_at = started_at
        self.sent_at = 0.0
        self.progress = progress
        #: Called when the caller has given up, with a future of the answer that may still arrive.
        self.late = late

    def give_up(self, error: Exception, *, may_arrive: bool) -> bool:
        """Fail the caller. Returns whether the answer is still wanted, if it `may_arrive`."""
        if not self.answer.done():
            self.answer.set_exception(error)
        elif self.late is None:
            return False
        if self.late is None or not may_arrive:
            return False
        late, self.late = self.late, None
        self.answer = self.answer.get_loop().create_future()
        late(self.answer)
        return True
